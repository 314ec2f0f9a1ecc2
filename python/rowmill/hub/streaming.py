"""Files of the Hub that are read where they lie: whether that is wanted and can be, and their addresses."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from rowmill.hub.converted import own_format
from rowmill.hub.layout import Layout
from rowmill.hub.names import check_file_name
from rowmill.hub.places import Question
from rowmill.hub.repository import Repository

__all__ = ["address_of", "is_streamed"]

_log = logging.getLogger("rowmill.hub")
# Formats whose blocks are found without reading them. The others are read from end to end, which is to download them.
_FORMATS = ("parquet", "arrow")
# Of the free disk: what is smaller is downloaded, and is then here for every later run.
_SHARE = 0.5


def is_streamed(question: Question, layout: Layout, repository: Repository, missing: Sequence[str]) -> bool:
    """Whether the files that are not here are read over the network, and not downloaded."""
    if not missing or question.streaming is False or repository.settings.is_offline:
        return False
    is_possible = own_format(layout.format, (), layout.parameters) in _FORMATS
    size = sum(repository.listing[path].size for path in missing)
    if question.streaming == "auto":
        free = _free_bytes(repository.settings.hub_cache)
        is_large = size > _SHARE * free
        if is_large:
            how = "they are streamed" if is_possible else f"{layout.format} is not streamed, so they are downloaded"
            _log.info("%s: %d bytes are not here and %d are free: %s", repository.place, size, free, how)
        return is_large and is_possible
    if not is_possible:
        warnings.warn(
            f"streaming=True: {layout.format} files are read from end to end, so the {size:,} bytes of "
            f"{repository.place} that are not here are downloaded, once; Parquet and Arrow are streamed",
            stacklevel=2,
        )
    return is_possible


def address_of(path: str, repository: Repository) -> str:
    """Where a file of the commit is read; always the same bytes, because the commit stands in it."""
    kind = "datasets/" if repository.kind == "dataset" else ""
    name = quote(check_file_name(path, repository.place))
    return f"{repository.settings.endpoint}/{kind}{repository.repo}/resolve/{repository.sha}/{name}"


def _free_bytes(place: Path) -> int:
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
