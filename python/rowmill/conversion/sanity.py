"""Checks of a text before pyarrow sees it: its parser neither checks UTF-8 nor survives endless nesting."""

from __future__ import annotations

import re

import numpy as np

__all__ = ["DEEPEST", "is_shallow", "is_utf8"]

# pyarrow's parser calls itself for each level: some thousands overflow a thread's stack, which ends the process.
DEEPEST = 200
# Small enough to stay in the processor's cache, which makes the search four times as fast.
_STEP = 1 << 18
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
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


def is_shallow(text: memoryview) -> bool:
    """Whether no value is nested more than ``DEEPEST`` levels deep.

    A line is as deep as it has opening brackets at most. Only lines with many of them are looked at closely.
    """
    opening = _places_of_opening(text)
    half, done = DEEPEST // 2, 0
    # No newline between one bracket and the hundredth after it: a line with two hundred is never missed.
    for first in range(0, len(opening) - half, half):
        left, right = int(opening[first]), int(opening[first + half])
        if left < done or b"\n" in bytes(text[left:right]):
            continue
        line, done = _line_from(text, left)
        if _depth(line) > DEEPEST:
            return False
    return True


def _line_from(text: memoryview, place: int) -> tuple[bytes, int]:
    """The line around ``place``, and where it ends."""
    start = place
    while start and b"\n" not in (piece := bytes(text[max(start - _STEP, 0) : start])):
        start = max(start - _STEP, 0)
    start = start and start - len(piece) + piece.rindex(b"\n") + 1
    stop = place
    while stop < len(text) and b"\n" not in (piece := bytes(text[stop : stop + _STEP])):
        stop = min(stop + _STEP, len(text))
    stop = stop if stop >= len(text) else stop + piece.index(b"\n")
    return bytes(text[start:stop]), stop


def _depth(line: bytes) -> int:
    """How deep the values of one line are nested; brackets in texts do not count."""
    folded = np.bitwise_or(np.frombuffer(_STRING.sub(b"", line), dtype=np.uint8), 0x20)
    steps = (folded == _OPENING).astype(np.int32) - (folded == _CLOSING)
    return int(np.cumsum(steps).max(initial=0))


def _places_of_opening(text: memoryview) -> np.ndarray:
    data = np.frombuffer(text, dtype=np.uint8)
    folded = np.empty(min(_STEP, len(data)), dtype=np.uint8)
    places = []
    for first in range(0, len(data), _STEP):
        part = data[first : first + _STEP]
        same = np.equal(np.bitwise_or(part, 0x20, out=folded[: len(part)]), _OPENING)
        places.append(np.flatnonzero(same) + first)
    return np.concatenate(places) if places else np.empty(0, dtype=np.int64)
