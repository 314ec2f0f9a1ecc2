"""Which line of a text file is at fault, found only once something is."""

from __future__ import annotations

import bisect
import csv
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rowmill.conversion.chunks import Chunk, Text, open_text
from rowmill.conversion.json_types import TypeConflict, Unfit, type_of, unify
from rowmill.conversion.kinds import TextFile
from rowmill.conversion.sanity import DEEPEST, is_shallow
from rowmill.exceptions import CorruptShardError, RowmillError, SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["blame_csv", "blame_json", "line_at"]

_STEP = 1 << 20
_NEWLINE = 0x0A
# pyarrow counts rows of what it was given, which is not the file.
_AROUND = re.compile(r"^JSON parse error: |\.? in row \d+$|\.$")


def line_at(file: TextFile, offset: int) -> int:
    """The number, from 1, of the line at ``offset`` of the unpacked text."""
    lines, left = 1, offset
    buffer = memoryview(bytearray(_STEP))
    with open_text(file) as text:
        while left > 0 and (count := text.readinto(buffer[: min(left, _STEP)])):
            lines += bytes(buffer[:count]).count(b"\n")
            left -= count
    return lines


def blame_json(
    chunk: Chunk, schema: pa.Schema | None, read: Callable[[memoryview], pa.Schema], cause: Exception
) -> RowmillError:
    """The error of the first line of ``chunk`` that ``read`` refuses behind those before it.

    Args:
        chunk: Lines that ``read`` refuses.
        schema: The columns of the lines before them.
        read: Reads lines; returns the columns of all that came so far.
        cause: What it said of all of them.
    """
    import pyarrow as pa

    text = chunk.text
    ends = [*(np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == _NEWLINE) + 1).tolist(), len(text)]

    def problem_of(num_lines: int) -> Exception | None:
        try:
            read(text[: ends[num_lines - 1]])
        except (pa.ArrowInvalid, Unfit) as problem:
            return problem
        return None

    # Lines that are refused are so with more lines behind them.
    fewer = range(1, len(ends))
    num_lines = 1 + bisect.bisect_left(fewer, True, key=lambda number: problem_of(number) is not None)
    start = ends[num_lines - 2] if num_lines > 1 else 0
    before = read(text[:start]) if start else schema
    problem = _problem(bytes(text[start : ends[num_lines - 1]]), before) or problem_of(num_lines) or cause
    offset = chunk.offset + start
    message = f"{chunk.file.path}, line {line_at(chunk.file, offset)}: "
    if isinstance(problem, Unfit):
        return SchemaMismatchError(f"{message}{problem}", chunk.file.path, offset=offset)
    return CorruptShardError(f"{message}{_short(problem)}", chunk.file.path, offset=offset)


def _problem(line: bytes, before: pa.Schema | None) -> Exception | None:
    """What is wrong with one line by itself, or behind rows of these columns, as far as Python can tell."""
    import pyarrow as pa

    try:
        unify(pa.struct(list(before or [])), _row_type(line))
    except (ValueError, TypeConflict) as problem:
        return problem
    return None


def _row_type(line: bytes) -> pa.DataType:
    import pyarrow as pa

    text = line.decode().strip(" \t\r\n")
    if not text:
        return pa.null()
    if not is_shallow(memoryview(line)):
        raise _NoRow(f"nested too deep, by more than {DEEPEST} levels")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_integer)
    except json.JSONDecodeError as problem:
        raise _no_json(text, problem) from None
    if isinstance(value, dict):
        return type_of(value)
    what = {"list": "a list (`jq -c '.[]'` writes its items as lines)", "str": "a text", "bool": "true or false"}
    what["NoneType"] = "null"
    raise _NoRow(f"a row is an object, this is {what.get(type(value).__name__, 'a number')}")


def _integer(digits: str) -> float:
    """Python has a limit to the digits that it converts."""
    return int(digits) if len(digits) <= 20 else float(digits)


class _NoRow(ValueError):
    """Text that is no row."""

    def __init__(self, what: str, remedy: str = "mend or remove the line") -> None:
        super().__init__(f"{what}; {remedy}")


def _no_json(text: str, problem: json.JSONDecodeError) -> _NoRow:
    if not text.startswith("{"):
        pass
    elif problem.msg == "Extra data" and text[problem.pos] == "{":
        return _NoRow("more than one object", "write each on a line of its own, as `jq -c .` does")
    elif problem.pos == len(text):
        return _NoRow(
            "not JSON: the line ends within an object", "mend it, or write each object on one line, as `jq -c .` does"
        )
    return _NoRow(f"not JSON: {problem.msg} at column {problem.colno}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _NoRow(f"the field {name!r} comes twice")
        found[name] = value
    return found


def _short(problem: Exception) -> str:
    if isinstance(problem, _NoRow):
        return str(problem)
    if isinstance(problem, UnicodeDecodeError):
        return f"byte {problem.start + 1} of the line is not UTF-8; convert it with iconv"
    words = _AROUND.sub("", str(problem))
    return f"cannot be read: {words}; mend or remove the line"


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
