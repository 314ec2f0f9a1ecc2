"""Checks of a text before pyarrow sees it: its parser passes on what is no UTF-8, and does not survive everything."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

__all__ = ["DEEPEST", "is_shallow", "is_utf8", "num_objects"]

# pyarrow's parser calls itself for each level: some thousands overflow a thread's stack, which ends the process.
DEEPEST = 200
# Small enough to stay in the processor's cache, which makes the search four times as fast.
_STEP = 1 << 18
_STRING = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*"?')
_BEGINNING = re.compile(rb"[ \t\r]*(?={|\Z)")
_OPENING, _CLOSING = 0x7B, 0x7D  # of both kinds, once bit 5 is set: [ becomes {, ] becomes }
# Behind the objects of most files there is nothing, or a carriage return.
_USUAL_SPACES = 32
_SPACES = np.isin(np.arange(256), [0x09, 0x0D, 0x20])


def is_utf8(text: memoryview) -> bool:
    """Whether the whole text is UTF-8."""
    import pyarrow as pa

    offsets = pa.py_buffer(np.array([0, text.nbytes], dtype=np.int32))
    whole = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(text))
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def num_objects(text: memoryview) -> int | None:
    """How many lines there are, blank ones aside; None where one does not begin and end as an object does.

    Where a block of lines begins with a bare ``null``, the parser's next error ends the process. And it takes no notice
    of lines: where each begins and ends an object, it has read one of each if it has read as many.
    """
    data = np.frombuffer(text, dtype=np.uint8)
    newlines = _places(data, lambda part: part == 0x0A)
    starts, stops = np.append(0, newlines + 1), np.append(newlines, len(data))
    is_object = data[np.minimum(starts, len(data) - 1)] == _OPENING
    others = np.flatnonzero(~is_object)
    for index in others:
        found = _BEGINNING.match(text, int(starts[index]), int(stops[index]))
        if found is None:
            return None
        is_object[index] = found.end() < stops[index]
    starts, stops = starts[is_object], stops[is_object]
    return len(starts) if _are_closed(text, data, starts, stops) else None


def _are_closed(text: memoryview, data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> bool:
    """Whether all lines end with a closing bracket, spaces aside."""
    for _ in range(_USUAL_SPACES):
        # A line stops at its opening bracket at the latest.
        is_open = data[stops - 1] != _CLOSING
        starts, stops = starts[is_open], stops[is_open] - 1
        if not len(stops):
            return True
        if not _SPACES[data[stops]].all():
            return False
    lines = (bytes(text[start:stop]) for start, stop in zip(starts, stops, strict=True))
    return all(line.rstrip(b" \t\r").endswith(b"}") for line in lines)


def is_shallow(text: memoryview) -> bool:
    """Whether no value is nested more than ``DEEPEST`` levels deep.

    A line is as deep as it has opening brackets at most: only those with many of them are looked at closely.
    """
    # A text ends at the line's end at the latest, as for the parser.
    return all(_depth(_STRING.sub(b"", text[line])) <= DEEPEST for line in _crowded(text))


def _crowded(text: memoryview) -> list[slice]:
    """Lines that may have more than ``DEEPEST`` opening brackets; all that do are among them."""
    opening = _places_of_opening(text)
    half, found, done = DEEPEST // 2, [], 0
    # No newline between one bracket and the hundredth after it: a line with two hundred is never missed.
    for first in range(0, len(opening) - half, half):
        left, right = int(opening[first]), int(opening[first + half])
        if left >= done and b"\n" not in bytes(text[left:right]):
            line = _line_around(text, left)
            found.append(line)
            done = line.stop
    return found


def _line_around(text: memoryview, place: int) -> slice:
    start, stop = place, place
    while start and (found := bytes(text[max(start - _STEP, 0) : start]).rfind(b"\n")) < 0:
        start = max(start - _STEP, 0)
    start = start and max(start - _STEP, 0) + found + 1
    while stop < len(text) and (found := bytes(text[stop : stop + _STEP]).find(b"\n")) < 0:
        stop += _STEP
    return slice(start, min(stop + found, len(text)) if stop < len(text) else len(text))


def _depth(line: bytes) -> int:
    """How deep the values of one line without its texts are nested."""
    folded = np.bitwise_or(np.frombuffer(line, dtype=np.uint8), 0x20)
    steps = (folded == _OPENING).astype(np.int32) - (folded == _CLOSING)
    return int(np.cumsum(steps).max(initial=0))


def _places_of_opening(text: memoryview) -> np.ndarray:
    folded = np.empty(min(_STEP, len(text)), dtype=np.uint8)
    data = np.frombuffer(text, dtype=np.uint8)
    return _places(data, lambda part: np.bitwise_or(part, 0x20, out=folded[: len(part)]) == _OPENING)


def _places(data: np.ndarray, is_wanted: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Where wanted bytes are."""
    steps = range(0, len(data), _STEP)
    found = [np.flatnonzero(is_wanted(data[first : first + _STEP])) + first for first in steps]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
