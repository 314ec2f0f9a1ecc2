"""Two sources of documents, prose and code, made of the text that ships with the package."""

from __future__ import annotations

import os
import re
from importlib import resources
from typing import TYPE_CHECKING

from rowmill.demo.shards import chapters

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["tokenizer_path", "write_sources"]

_LISTING = re.compile(r"^```[^\n]*\n(.*?)^```\n?", re.DOTALL | re.MULTILINE)
_SECTION = re.compile(r"^(?=#{2,3} )", re.MULTILINE)
# As small as the sample is: an order over blocks needs some.
_ROWS_PER_BLOCK = 16


def write_sources(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Writes the Rust book's sections as Parquet and its listings as Arrow: whole documents of two kinds.

    Args:
        folder: Where the files go; made where it is not there.

    Returns:
        The file of each source, "prose" and "code"; both have columns ``id`` and ``text``, of strings.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_sources(folder)
        ...     sources = {name: rowmill.open(file, index_dir=folder) for name, file in files.items()}
        >>> {name: source.column_names for name, source in sources.items()}
        {'prose': ['id', 'text'], 'code': ['id', 'text']}
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    os.makedirs(folder, exist_ok=True)
    sections: list[dict[str, str]] = []
    listings: list[dict[str, str]] = []
    for chapter in chapters():
        prose = _LISTING.sub("", chapter["text"])
        sections += _numbered(chapter["id"], _SECTION.split(prose))
        listings += _numbered(chapter["id"], _LISTING.findall(chapter["text"]))
    files = {"prose": os.path.join(folder, "prose.parquet"), "code": os.path.join(folder, "code.arrow")}
    pq.write_table(_table(sections), files["prose"], row_group_size=_ROWS_PER_BLOCK)
    table = _table(listings)
    with pa.OSFile(files["code"], "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=_ROWS_PER_BLOCK)
    return files


def tokenizer_path() -> str:
    """The ``tokenizer.json`` that ships with the package: a byte-level BPE of 4,096 ids."""
    return str(resources.files("rowmill").joinpath("data", "tokenizer.json"))


def _numbered(chapter: str, texts: list[str]) -> list[dict[str, str]]:
    return [{"id": f"{chapter}#{number}", "text": text} for number, text in enumerate(texts) if text.strip()]


def _table(rows: list[dict[str, str]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=pa.schema({"id": pa.string(), "text": pa.string()}))
