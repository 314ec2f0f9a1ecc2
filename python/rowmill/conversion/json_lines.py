"""JSON lines to Arrow tables under one schema, which grows as fields come up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rowmill.conversion.blame import blame_json
from rowmill.conversion.chunks import Chunk, chunks
from rowmill.conversion.json_types import TypeConflict, depth, has_null, num_fields, unify_schemas, with_text
from rowmill.conversion.kinds import TextFile
from rowmill.conversion.nulls import counted
from rowmill.conversion.sanity import DEEPEST, has_objects_only, is_shallow, is_utf8
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["JsonLines"]

# What pyarrow's threads share out; an Arrow block is never more than this.
_BLOCK_BYTES = 1 << 20
# Objects that use values as names would make a column of each.
_MOST_FIELDS = 10_000
# Arrow's file format stops at 64, rows and columns included.
_MOST_LEVELS = 60


class JsonLines:
    """Reads files line by line, the fields typed by what their values are.

    The first pass knows nothing and finds the schema. Where a later line needs a wider one, the pass goes on to the
    end for the schema alone (``needs_restart``), and a second reader, given that schema, reads everything again.
    """

    def __init__(self, files: Sequence[TextFile], tell: Callable[[int], None], schema: pa.Schema | None = None) -> None:
        self.files = files
        self.tell = tell
        self.schema = schema
        self.is_final = schema is not None
        self.needs_restart = False
        self._is_guess = False

    def again(self) -> JsonLines:
        """A reader of the same files under the schema that was found."""
        return JsonLines(self.files, self.tell, self.schema)

    def tables(self) -> Iterator[pa.Table]:
        """Tables of one schema; of no use once ``needs_restart`` is set."""
        # Reading, unpacking and checking go on while pyarrow parses.
        with ThreadPoolExecutor(1, thread_name_prefix="rowmill-read") as pool:
            for file in self.files:
                ahead = chunks(file, self.tell)
                coming = pool.submit(_checked, ahead)
                while (chunk := coming.result()) is not None:
                    coming = pool.submit(_checked, ahead)
                    if chunk.text.nbytes and (table := self._table(chunk)).num_rows:
                        yield table

    def _table(self, chunk: Chunk) -> pa.Table:
        import pyarrow as pa

        if self.schema is None:
            # A few rows mostly tell what all of the first chunk need; none is written yet, so they may be wrong.
            self.schema = self._wider(_head(chunk))
            self._is_guess = True
        try:
            if has_null(self.schema):
                _check_depth(chunk)
            table = _parse(chunk, self.schema)
        except pa.ArrowInvalid as problem:
            if self.is_final:
                raise blame_json(chunk, self.schema, problem) from problem
            table = self._widened(chunk)
        self._is_guess = False
        return table

    def _widened(self, chunk: Chunk) -> pa.Table:
        """The chunk's rows under what the schema becomes by them."""
        import pyarrow as pa

        wider = self._wider(chunk)
        self.needs_restart |= not self._is_guess and not wider.equals(self.schema)
        self.schema = wider
        try:
            return _parse(chunk, wider)
        except pa.ArrowInvalid as problem:
            raise blame_json(chunk, self.schema, problem) from problem

    def _wider(self, chunk: Chunk) -> pa.Schema:
        import pyarrow as pa

        _check_depth(chunk)
        try:
            found = _infer(chunk)
            _check_size(chunk, found)
            wider = with_text(found)
            wider = wider if self.schema is None else unify_schemas(self.schema, wider)
        except (pa.ArrowInvalid, TypeConflict) as problem:
            raise blame_json(chunk, self.schema, problem) from problem
        _check_size(chunk, wider)
        return wider


def _head(chunk: Chunk) -> Chunk:
    """The first whole lines of a chunk."""
    cut = bytes(chunk.text[:_BLOCK_BYTES]).rfind(b"\n") + 1
    return Chunk(chunk.file, chunk.offset, chunk.text[:cut]) if cut else chunk


def _checked(ahead: Iterator[Chunk]) -> Chunk | None:
    """The next chunk, in UTF-8 and of lines that begin an object."""
    chunk = next(ahead, None)
    if chunk is not None and not is_utf8(chunk.text):
        raise blame_json(chunk, None, ValueError("a text that is not UTF-8"))
    if chunk is not None and not has_objects_only(chunk.text):
        raise blame_json(chunk, None, ValueError("a line does not begin an object"))
    return chunk


def _check_depth(chunk: Chunk) -> None:
    """Keeps endless nesting from a parser that follows it; one that is held to types stops by itself."""
    if not is_shallow(chunk.text):
        raise blame_json(chunk, None, ValueError(f"values are nested more than {DEEPEST} levels deep"))


def _check_size(chunk: Chunk, schema: pa.Schema) -> None:
    if num_fields(schema) > _MOST_FIELDS:
        raise SchemaMismatchError(
            f"{chunk.file.path}: its objects have more than {_MOST_FIELDS:,} different fields, as if values stood "
            "for names; write such an object as a list of pairs",
            chunk.file.path,
        )

    if depth(schema) > _MOST_LEVELS:
        raise SchemaMismatchError(
            f"{chunk.file.path}: values are nested more than {_MOST_LEVELS} levels deep, which Arrow files cannot "
            "hold; store such a value as a text",
            chunk.file.path,
        )


def _parse(chunk: Chunk, schema: pa.Schema) -> pa.Table:
    """The chunk's rows under ``schema``; an error where a row needs another."""
    import pyarrow as pa

    try:
        return counted(_read(chunk, _BLOCK_BYTES, schema))
    except pa.ArrowInvalid:
        if chunk.text.nbytes <= _BLOCK_BYTES:
            raise
        # A line longer than a block cannot be parsed in blocks.
        return counted(_read(chunk, chunk.text.nbytes + 1, schema))


def _infer(chunk: Chunk) -> pa.Schema:
    """What the chunk's rows need.

    In one block always: where types are found over several blocks and contradict, pyarrow 26 ends the process or
    hands out nulls for values, and names columns in any order.
    """
    return _read(chunk, chunk.text.nbytes + 1, None).schema


def _read(chunk: Chunk, block_size: int, schema: pa.Schema | None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.json

    return pa.json.read_json(
        pa.BufferReader(pa.py_buffer(chunk.text)),
        read_options=pa.json.ReadOptions(block_size=block_size),
        parse_options=pa.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "error"
        ),
    )
