"""Work on items in their order: the next is read, and some are begun, while one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rowmill.exceptions import RowmillError

__all__ = ["begun_ahead"]

Item = TypeVar("Item")
Begun = TypeVar("Begun")


def begun_ahead(
    items: Iterator[Item], begin: Callable[[Item], Begun], num_ahead: int, size: Callable[[Item], int], most: int
) -> Iterator[Begun]:
    """What ``begin`` makes of each item, called for ``num_ahead`` more of ``most`` bytes before one is handed out.

    Where reading fails, that is raised once what was read has been handed out: its own troubles come before.
    """
    begun: deque[tuple[Begun, int]] = deque()
    trouble = None
    with ThreadPoolExecutor(1, thread_name_prefix="rowmill-read") as reading:
        coming = reading.submit(next, items, None)
        while True:
            try:
                item = coming.result()
            except RowmillError as error:
                trouble = error
                break
            if item is None:
                break
            coming = reading.submit(next, items, None)
            begun.append((begin(item), size(item)))
            while len(begun) > num_ahead or (len(begun) > 1 and sum(each for _, each in begun) > most):
                yield begun.popleft()[0]
        while begun:
            yield begun.popleft()[0]
    if trouble is not None:
        raise trouble
