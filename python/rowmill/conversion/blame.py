"""Which line of a text file is at fault, found only once something is."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rowmill.conversion.chunks import Chunk, Text, open_text
from rowmill.conversion.json_types import TypeConflict, type_of, unify
from rowmill.conversion.kinds import TextFile
from rowmill.exceptions import CorruptShardError, RowmillError, SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["blame_csv", "blame_json", "line_at"]

_STEP = 1 << 20


def line_at(file: TextFile, offset: int) -> int:
    """The number, from 1, of the line at ``offset`` of the unpacked text."""
    lines, left = 1, offset
    buffer = memoryview(bytearray(_STEP))
    with open_text(file) as text:
        while left > 0 and (count := text.readinto(buffer[: min(left, _STEP)])):
            lines += bytes(buffer[:count]).count(b"\n")
            left -= count
    return lines


def blame_json(chunk: Chunk, schema: pa.Schema | None, cause: Exception) -> RowmillError:
    """The error of the first line of ``chunk`` that is no object, or does not fit the rows before it."""
    import pyarrow as pa

    path, number, offset = chunk.file.path, line_at(chunk.file, chunk.offset), chunk.offset
    seen = pa.struct(list(schema or []))
    for line in bytes(chunk.text).split(b"\n"):
        try:
            seen = unify(seen, _row_type(line))
        except TypeConflict as conflict:
            message = f"{path}, line {number}: {conflict}; write one type of value, or leave the field out"
            return SchemaMismatchError(message, path, offset=offset)
        except (ValueError, RecursionError) as problem:
            message = f"{path}, line {number}: {_short(problem)}; mend or remove the line"
            return CorruptShardError(message, path, offset=offset)
        number, offset = number + 1, offset + len(line) + 1
    near = line_at(chunk.file, chunk.offset)
    message = f"{path}, lines {near:,} to {number - 1:,}: {cause}; mend or remove the line"
    return CorruptShardError(message, path, offset=chunk.offset)


def _row_type(line: bytes) -> pa.DataType:
    import pyarrow as pa

    line = line.strip()
    if not line:
        return pa.null()
    value = json.loads(line.decode(), object_pairs_hook=_unique)
    if isinstance(value, dict):
        return type_of(value)
    what = {"list": "a list (`jq -c '.[]'` writes its items as lines)", "str": "a text", "bool": "true or false"}
    what["NoneType"] = "null"
    raise _NoRow(f"a row is an object, this is {what.get(type(value).__name__, 'a number')}")


class _NoRow(ValueError):
    """JSON, but no row."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _NoRow(f"the field {name!r} comes twice")
        found[name] = value
    return found


def _short(problem: Exception) -> str:
    if isinstance(problem, UnicodeDecodeError):
        return f"byte {problem.start + 1} of the line is not UTF-8"
    if isinstance(problem, _NoRow):
        return str(problem)
    return "nested too deep" if isinstance(problem, RecursionError) else f"not JSON: {problem}"


def blame_csv(file: TextFile, delimiter: str, cause: Exception) -> RowmillError:
    """The error of the first line that is no UTF-8 or has more or fewer values than the first; or ``cause`` itself."""
    with open_text(file) as text:
        lines = _decoded(text)
        rows = csv.reader(lines, delimiter=delimiter)
        try:
            width = len(next(rows, []))
            for row in rows:
                if row and len(row) != width:
                    message = f"{file.path}, line {rows.line_num}: {width} columns, but {len(row)} in this row"
                    return CorruptShardError(f"{message}; mend or remove the line", file.path)
        except UnicodeDecodeError:
            message = f"{file.path}, line {rows.line_num + 1}: a text that is not UTF-8; convert it with iconv"
            return CorruptShardError(message, file.path)
        except csv.Error:
            # Python's own limits, such as that of a value's length; pyarrow's word must do.
            pass
    return CorruptShardError(f"{file.path}: {cause}; mend the line or remove it", file.path)


def _decoded(text: Text) -> Iterator[str]:
    """Lines with their ends, as the csv module wants them."""
    buffer, rest = memoryview(bytearray(_STEP)), b""
    while count := text.readinto(buffer):
        *whole, rest = (rest + bytes(buffer[:count])).split(b"\n")
        yield from (line.decode("utf-8-sig") + "\n" for line in whole)
    if rest:
        yield rest.decode("utf-8-sig")
