"""The loaders measured, one file each.

Each function takes a corpus and returns an iterable of batches (`tokens_*`: eight rows as one int64 torch
tensor) or of rows (`text_*`: dicts). Iterating it again is the next epoch.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Again(Iterable[Any]):
    """Makes an iterable out of a function that starts an epoch."""

    def __init__(self, start: Callable[[], Iterator[Any]]) -> None:
        self.start = start

    def __iter__(self) -> Iterator[Any]:
        return self.start()
