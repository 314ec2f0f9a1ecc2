"""``split="train[:10%]+test"``: which splits, and which of their rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Part", "parse_split"]

_PART = re.compile(
    r"(?P<split>\w+(?:\.\w+)*)"
    r"(?:\[(?P<start>-?\d+%?)?(?P<colon>:)(?P<stop>-?\d+%?)?\])?"
    r"(?:\((?P<rounding>closest|pct1_dropremainder)\))?"
)


@dataclass(frozen=True)
class Part:
    """Rows of one split, as they are written: None where nothing bounds them."""

    split: str
    start: str | None = None
    stop: str | None = None
    rounding: str = "closest"

    @property
    def is_whole(self) -> bool:
        """Whether it is the split itself."""
        return self.start is None and self.stop is None

    def rows(self, num_rows: int) -> tuple[int, int]:
        """First row and the one behind the last, of a split with so many."""
        start, stop = self._place(self.start, 0, num_rows), self._place(self.stop, num_rows, num_rows)
        return start, max(start, stop)

    def _place(self, text: str | None, default: int, num_rows: int) -> int:
        if text is None:
            return default
        if text.endswith("%"):
            percent = int(text[:-1])
            # As `datasets` rounds: half to even, or by whole hundredths with the rest dropped.
            place = round(percent * num_rows / 100.0) if self.rounding == "closest" else percent * (num_rows // 100)
        else:
            place = int(text)
        return min(max(num_rows + place, 0) if place < 0 else place, num_rows)


def parse_split(text: str, splits: Mapping[str, object] | None = None) -> list[Part]:
    """The parts of a split; each must be one of ``splits`` where these are known. "all" is all of them.

    Raises:
        ValueError: It cannot be read, or there is no such split; the text names those there are.
    """
    parts = []
    for piece in str(text).split("+"):
        found = _PART.fullmatch(piece.strip())
        if found is None:
            raise ValueError(f"split {text!r} cannot be read; it is as in 'train', 'train[:10%]', 'train[100:]+test'")
        parts.append(Part(found["split"], found["start"], found["stop"], found["rounding"] or "closest"))
    if splits is not None and str(text) == "all" and "all" not in splits:
        return [Part(split) for split in splits]
    for part in parts:
        if splits is not None and part.split not in splits:
            raise ValueError(f"there is no split {part.split!r}; there are {', '.join(splits)}")
    return parts
