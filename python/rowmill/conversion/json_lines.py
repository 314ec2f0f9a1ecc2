"""JSON lines to Arrow tables under one schema, which grows as fields come up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rowmill.conversion.ahead import begun_ahead
from rowmill.conversion.blame import blame_json
from rowmill.conversion.chunks import Chunk, chunks
from rowmill.conversion.json_types import TypeConflict, depth, has_grown, num_fields, unify_schemas, with_text
from rowmill.conversion.kinds import TextFile
from rowmill.conversion.nulls import completed, probing, settled
from rowmill.conversion.sanity import DEEPEST, has_objects_only, is_shallow, is_utf8
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["JsonLines"]

# One thread reads for all of them.
_MOST_PARSERS = 16
# Text that waits to be parsed, or one line: lines may be longer than chunks.
_MOST_BYTES = 64 << 20
# Tables of so much text are held back, until the types of most fields are known.
_EARLY_BYTES = 16 << 20
# Objects that use values as names would make a column of each.
_MOST_FIELDS = 10_000
# Arrow's file format stops at 64, rows and columns included.
_MOST_LEVELS = 60


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
                return chunk, self.schema, parsing.submit(_checked, chunk, self.schema)

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
                raise blame_json(chunk, schema, problem) from problem
        try:
            # Chunks before this one may have brought what was missing.
            if not self.schema.equals(schema):
                return _parse(chunk, self.schema)
        except pa.ArrowInvalid:
            pass
        before, self.schema = self.schema, self._wider(chunk)
        self.needs_restart |= not has_grown(before, self.schema)
        try:
            return _parse(chunk, self.schema)
        except pa.ArrowInvalid as problem:
            raise blame_json(chunk, self.schema, problem) from problem

    def _wider(self, chunk: Chunk) -> pa.Schema:
        """The schema with what the rows of ``chunk`` need."""
        import pyarrow as pa

        _check(chunk)
        _check_depth(chunk)
        try:
            found = _infer(chunk)
            wider = with_text(found) if self.schema is None else unify_schemas(self.schema, with_text(found))
        except (pa.ArrowInvalid, TypeConflict) as problem:
            raise blame_json(chunk, self.schema, problem) from problem
        _check_size(chunk, wider)
        return wider


def _num_bytes(chunk: Chunk) -> int:
    return chunk.text.nbytes


def _checked(chunk: Chunk, schema: pa.Schema) -> pa.Table:
    """The chunk's rows under ``schema``, once it is clear that the parser survives them."""
    _check(chunk)
    return _parse(chunk, schema)


def _check(chunk: Chunk) -> None:
    """Keeps from the parser what is no UTF-8, and lines that begin no object."""
    if not is_utf8(chunk.text):
        raise blame_json(chunk, None, ValueError("a text that is not UTF-8"))
    if not has_objects_only(chunk.text):
        raise blame_json(chunk, None, ValueError("a line does not begin an object"))


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
    return settled(_read(chunk, probing(schema)), schema)


def _infer(chunk: Chunk) -> pa.Schema:
    """What the chunk's rows need."""
    return _read(chunk, None).schema


def _read(chunk: Chunk, schema: pa.Schema | None) -> pa.Table:
    """In one block always.

    Where types are found over several blocks and contradict, pyarrow 26 ends the process or hands out nulls for
    values, and names columns in any order.
    """
    import pyarrow as pa
    import pyarrow.json

    return pa.json.read_json(
        pa.BufferReader(pa.py_buffer(chunk.text)),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=chunk.text.nbytes + 1),
        parse_options=pa.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "error"
        ),
    )
