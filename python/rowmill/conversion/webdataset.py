"""Rows to a tar, sample by sample, whose bytes depend on the rows alone."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.conversion.layout import KEY, Layout
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["write_tar"]


def write_tar(path: Path, blocks: Iterable[pa.Table], layout: Layout, first_row: int) -> None:
    """Writes rows, the first of which has the number ``first_row``.

    Raises:
        SchemaMismatchError: A row's ``__key__`` is no name, or that of the row before.
    """
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        before = None
        for key, row in _keyed(blocks, layout, first_row):
            if key == before:
                raise SchemaMismatchError(
                    f"two rows in turn have the key {key!r} and would become one; make them differ"
                )
            before = key
            for extension, content in layout.encode(row):
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def _keyed(blocks: Iterable[pa.Table], layout: Layout, first_row: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in blocks:
        for row in block.cast(layout.plain).to_pylist():
            yield (_checked_key(row[KEY]) if layout.is_sample else f"{first_row:09d}"), row
            first_row += 1


def _checked_key(key: str | bytes | int | None) -> str:
    text = "" if key is None else _decoded(key) if isinstance(key, bytes) else str(key)
    name = text.rpartition("/")[2]
    if not name or "." in name or text.startswith("/") or ".." in text.split("/") or "\0" in text:
        raise SchemaMismatchError(
            f"{key!r} is no key for a tar: it is a name without dots, in folders inside of the tar; mend it, or leave "
            "__key__ out for numbers"
        )
    return text


def _decoded(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        # Readers make the same replacement character of any such byte, and one key of several.
        return ""
