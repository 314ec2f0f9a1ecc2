"""Checks of a text before pyarrow sees it: its parser passes on what is no UTF-8, and does not survive everything."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

__all__ = ["DEEPEST", "has_objects_only", "is_shallow", "is_utf8"]

# pyarrow's parser calls itself for each level: some thousands overflow a thread's stack, which ends the process.
DEEPEST = 200
# Small enough to stay in the processor's cache, which makes the search four times as fast.
_STEP = 1 << 18
_STRING = re.compile(rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*"?')
_BEGINNING = re.compile(rb"[ \t\r]*(?:[{\n]|\Z)")
_OPENING, _CLOSING = 0x7B, 0x7D  # of both kinds, once bit 5 is set: [ becomes {, ] becomes }


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


def has_objects_only(text: memoryview) -> bool:
    """Whether each line begins an object, blank ones aside.

    Where a block of lines begins with a bare ``null``, the next error ends the process.
    """
    data = np.frombuffer(text, dtype=np.uint8)
    starts = np.concatenate([[0], _places(data, lambda part: part == 0x0A) + 1])
    starts = starts[starts < len(data)]
    others = starts[data[starts] != _OPENING]
    return all(_BEGINNING.match(text, int(start)) for start in others)


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
