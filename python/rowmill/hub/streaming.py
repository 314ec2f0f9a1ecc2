"""Files of the Hub that are read where they lie: whether that is wanted and can be, and their addresses."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Sequence, Set
from pathlib import Path
from urllib.parse import quote

from rowmill.hub.converted import chosen_columns, own_format
from rowmill.hub.formats import most_common_format
from rowmill.hub.layout import Layout
from rowmill.hub.names import check_file_name
from rowmill.hub.places import Place, Question
from rowmill.hub.repository import Repository
from rowmill.hub.settings import Settings
from rowmill.hub.slices import Part

__all__ = ["STREAMED", "KnownFile", "addresses", "credentials", "is_streamable", "is_streamed", "streamed"]

# The address, the bytes, the hash, and that they never change.
KnownFile = tuple[str, int, str | None, bool]

_log = logging.getLogger("rowmill.hub")
# Formats whose blocks are found without reading them. The others are read from end to end, which is to download them.
STREAMED = ("parquet", "arrow", "webdataset")
# Of the free disk: what is smaller is downloaded, and is then here for every later run.
_SHARE = 0.5


def is_streamed(question: Question, layout: Layout, repository: Repository, missing: Sequence[str]) -> bool:
    """Whether the files that are not here are read over the network, and not downloaded."""
    if not missing or question.streaming is False or repository.settings.is_offline:
        return False
    is_possible = own_format(layout.format, (), layout.parameters) in STREAMED
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
            f"{repository.place} that are not here are downloaded, once; Parquet, Arrow and tars are streamed",
            stacklevel=2,
        )
    return is_possible


def streamed(layout: Layout, parts: Sequence[Part], repository: Repository, missing: Set[str]) -> Place:
    """The files of the splits: those that are here, and the addresses of the others.

    The commit stands in an address, so it always means the same bytes: the list of files says how many and which, and
    nobody is asked about them.
    """
    files = {part.split: layout.splits[part.split] for part in parts}
    there = addresses(sorted(missing), repository)
    places = {
        split: [there[path][0] if path in there else str(repository.local(path)) for path in paths]
        for split, paths in files.items()
    }
    format_ = own_format(layout.format, (), layout.parameters)
    columns = chosen_columns(layout.parameters)
    return Place(parts, places, format_, columns, repository.place, known=tuple(there.values()))


def addresses(paths: Sequence[str], repository: Repository) -> dict[str, KnownFile]:
    """Where files that are not here are read, by their names, and what the list of the commit's files says of them."""
    from rowmill.remote.urls import bare

    wanted = [path for path in paths if not repository.is_here(path)]
    found = bare([_address(path, repository) for path in wanted])
    likes = [repository.listing[path] for path in wanted]
    return {
        path: (address, like.size, like.sha256 or like.blob_id or None, True)
        for path, address, like in zip(wanted, found, likes, strict=True)
    }


def credentials(settings: Settings, known: Sequence[KnownFile]) -> tuple[tuple[str, str], ...]:
    """Where every process finds the token that the Hub is shown; one that a caller gave is set in this one.

    It belongs to the repository that it was given for: another one may be read with another token meanwhile.
    """
    from rowmill.remote.credentials import lend, take_back
    from rowmill.remote.urls import origin_of

    repositories = sorted({address.partition("/resolve/")[0] for address, *_ in known})
    for repository in repositories:
        if settings.token is False:
            lend(repository, {})
        elif isinstance(settings.token, str):
            lend(repository, {"authorization": f"Bearer {settings.token}"})
        else:
            # An earlier call's token, or its False, was meant for that call.
            take_back(repository)
    origin = origin_of(settings.endpoint)
    return () if origin is None or settings.token is False else ((origin, "hub"),)


def _address(path: str, repository: Repository) -> str:
    kind = "datasets/" if repository.kind == "dataset" else ""
    name = quote(check_file_name(path, repository.place))
    return f"{repository.settings.endpoint}/{kind}{repository.repo}/resolve/{repository.sha}/{name}"


def is_streamable(paths: Sequence[str], repository: Repository) -> bool:
    """The same for files that were named one by one, where nobody has said whether."""
    missing = [path for path in paths if not repository.is_here(path)]
    question = Question(repository.repo, None, "train", None, None, None, "auto", None)
    layout = Layout("default", most_common_format(paths) or "", {"train": list(paths)})
    return is_streamed(question, layout, repository, missing)


def _free_bytes(place: Path) -> int:
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
