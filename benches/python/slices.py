"""Measures one case in slices of time, one for each line that it is given; `turns.py` starts it.

Usage as of measure.py. It answers with a line of JSON each: first how long the first item took, then each slice's rate.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from measure import made

# Before each slice: what was made ahead while the others had their turn is taken, and does not count.
WARMING_SECONDS = 0.1


class Endless:
    """A case's items, epoch after epoch."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self.iterable = iterable
        self.begin()

    def begin(self) -> None:
        """Starts an epoch and takes its first item, which as in measure.py is not a matter of speed."""
        self.items: Iterator[Any] = iter(self.iterable)
        next(self.items)

    def take(self, seconds: float) -> float:
        """Items a second over about so many seconds, those between two epochs left out."""
        clock = time.perf_counter
        count, spent = 0, 0.0
        while True:
            started = clock()
            for _item in self.items:
                count += 1
                if spent + (now := clock()) - started >= seconds:
                    return count / (spent + now - started)
            spent += clock() - started
            self.begin()


def main() -> None:
    """Answers until its input ends."""
    answer = answers()
    iterable = made()
    started = time.perf_counter()
    items = Endless(iterable)
    answer({"first_s": time.perf_counter() - started})
    for line in sys.stdin:
        items.take(WARMING_SECONDS)
        answer({"rate": items.take(float(line))})
    # As in measure.py: to wait for the threads of some peers is to wait for ever.
    os._exit(0)


def answers() -> Callable[[dict[str, Any]], None]:
    """Where answers go: what a loader prints must not come between."""
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        stream.write(json.dumps(content) + "\n")
        stream.flush()

    return answer


if __name__ == "__main__":
    main()
