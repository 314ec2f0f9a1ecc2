"""JSON lines to Arrow tables under one schema, which grows as fields come up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from rowmill.conversion.ahead import begun_ahead
from rowmill.conversion.blame import blame_json
from rowmill.conversion.chunks import Chunk, chunks
from rowmill.conversion.json_types import Unfit, check_size, has_grown, unify_schemas, with_text
from rowmill.conversion.kinds import TextFile
from rowmill.conversion.nulls import completed, probing, settled
from rowmill.conversion.sanity import DEEPEST, is_shallow, is_utf8, num_objects

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["JsonLines"]

# One thread reads for all of them.
_MOST_PARSERS = 16
# Text that waits to be parsed, or one line: lines may be longer than chunks.
_MOST_BYTES = 64 << 20
# Tables of so much text are held back, until the types of most fields are known.
_EARLY_BYTES = 16 << 20


class JsonLines:
    """Reads files line by line, the fields typed by what their values are.

    The schema grows as lines are read: by fields that come up, and by types of what was null. Where a line makes
    doubles of integers that were read, only reading again helps (``needs_restart``): at once where it is one of the
    first, otherwise under a schema that was looked for to the end.
    """

    def __init__(
        self,
        files: Sequence[TextFile],
        tell: Callable[[int], None],
        schema: pa.Schema | None = None,
        *,
        is_final: bool = False,
    ) -> None:
        self.files = files
        self.tell = tell
        self.schema: Any = schema
        self.is_final = is_final
        self.needs_restart = False
        self._is_early = True

    def again(self) -> JsonLines:
        """A reader of the same files under the schema that was found."""
        return JsonLines(self.files, self.tell, self.schema, is_final=not self._is_early)

    def tables(self) -> Iterator[pa.Table]:
        """A table for each chunk, of the schema so far; none any more once ``needs_restart`` is set."""
        held: list[pa.Table] = []
        num_bytes = 0
        for chunk, table in self._tables():
            held.append(table)
            num_bytes += chunk.text.nbytes
            if self._is_early and num_bytes < _EARLY_BYTES:
                continue
            if self._is_early and self.needs_restart:
                return
            self._is_early = False
            yield from self._completed(held)
            held.clear()
        self._is_early = False
        yield from self._completed(held)

    def _completed(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        if not self.needs_restart:
            yield from (completed(table, self.schema) for table in tables if table.num_rows)

    def _tables(self) -> Iterator[tuple[Chunk, pa.Table]]:
        import pyarrow as pa

        num_parsers = min(pa.cpu_count(), _MOST_PARSERS)
        with ThreadPoolExecutor(num_parsers, thread_name_prefix="rowmill-parse") as parsing:

            def begin(chunk: Chunk) -> tuple[Chunk, pa.Schema, Future[pa.Table]]:
                if self.schema is None:
                    self.schema = self._wider(chunk)
                return chunk, self.schema, parsing.submit(_parse, chunk.text, self.schema)

            for begun in begun_ahead(self._chunks(), begin, 2 * num_parsers, _num_bytes, _MOST_BYTES):
                yield begun[0], self._parsed(*begun)

    def _chunks(self) -> Iterator[Chunk]:
        for file in self.files:
            yield from (chunk for chunk in chunks(file, self.tell) if chunk.text.nbytes)

    def _parsed(self, chunk: Chunk, schema: pa.Schema, table: Future[pa.Table]) -> pa.Table:
        """The rows of ``chunk``, for which ``schema`` was known when it was its turn."""
        import pyarrow as pa

        try:
            return table.result()
        except pa.ArrowInvalid as problem:
            if self.is_final:
                raise blame_json(chunk, schema, _rows_of(schema), problem) from problem
        try:
            # Chunks before this one may have brought what was missing.
            if not self.schema.equals(schema):
                return _parse(chunk.text, self.schema)
        except pa.ArrowInvalid:
            pass
        before, self.schema = self.schema, self._wider(chunk)
        self.needs_restart |= not has_grown(before, self.schema)
        try:
            return _parse(chunk.text, self.schema)
        except pa.ArrowInvalid as problem:
            raise blame_json(chunk, self.schema, _rows_of(self.schema), problem) from problem

    def _wider(self, chunk: Chunk) -> pa.Schema:
        """The schema with what the rows of ``chunk`` need."""
        import pyarrow as pa

        try:
            return _widened(chunk.text, self.schema)
        except (pa.ArrowInvalid, Unfit) as problem:
            raise blame_json(chunk, self.schema, partial(_widened, schema=self.schema), problem) from problem


def _num_bytes(chunk: Chunk) -> int:
    return chunk.text.nbytes


def _rows_of(schema: pa.Schema) -> Callable[[memoryview], pa.Schema]:
    """Reads rows that have to be of ``schema``."""
    return lambda text: _parse(text, schema).schema


def _parse(text: memoryview, schema: pa.Schema) -> pa.Table:
    """The lines' rows under ``schema``; an error where a row needs another."""
    return settled(_read(text, probing(schema)), schema)


def _widened(text: memoryview, schema: pa.Schema | None) -> pa.Schema:
    """``schema`` with what the rows of these lines need."""
    import pyarrow as pa

    # A parser that is held to types stops by itself where values are nested deeper; one that is not follows.
    if not is_shallow(text):
        raise pa.ArrowInvalid(f"values are nested more than {DEEPEST} levels deep")
    found = with_text(_read(text, None).schema)
    wider = found if schema is None else unify_schemas(schema, found)
    check_size(wider)
    return wider


def _read(text: memoryview, schema: pa.Schema | None) -> pa.Table:
    """A row for each line that is not blank, once it is clear that the parser survives them; in one block always.

    Where types are found over several blocks and contradict, pyarrow 26 ends the process or hands out nulls for
    values, and names columns in any order.
    """
    import pyarrow as pa
    import pyarrow.json

    if not is_utf8(text):
        raise pa.ArrowInvalid("a text that is not UTF-8")
    if (num_rows := num_objects(text)) is None:
        raise pa.ArrowInvalid("a line is no object")
    table = pa.json.read_json(
        pa.BufferReader(pa.py_buffer(text)),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=text.nbytes + 1),
        parse_options=pa.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "error"
        ),
    )
    if table.num_rows != num_rows:
        raise pa.ArrowInvalid("a line is more than one object")
    if any(_overflows(column) for column in table.columns):
        raise pa.ArrowInvalid("a number is too large for a double")
    return table


def _overflows(column: pa.ChunkedArray | pa.Array) -> bool:
    """Whether a number has become infinite: JSON has no other way to that, and only integers take it."""
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_floating(column.type):
        return bool(pc.any(pc.is_inf(column)).as_py())
    if types.is_list(column.type):
        return _overflows(pc.list_flatten(column))
    if types.is_struct(column.type):
        return any(_overflows(pc.struct_field(column, [index])) for index in range(column.type.num_fields))
    return False
