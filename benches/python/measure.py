"""Measures one case in this very process; the tables start it as a fresh one for each run.

Usage: measure.py MODULE:FUNCTION CORPUS SCALE SECONDS [KEYWORDS as JSON]. Its last line is a line of JSON. An empty
CORPUS warms nothing.
"""

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from corpus import Corpus, read_once

# Too short an epoch is not measured: a timer around 10 ms measures the timer.
LEAST_SECONDS = 0.05


def one_epoch(iterable: Iterable[Any], until: float) -> dict[str, Any]:
    """Items a second after the first one, to the end of the epoch or of the time."""
    clock = time.perf_counter
    started = clock()
    iterator = iter(iterable)
    next(iterator)
    first = clock()
    count, is_complete = 0, True
    for _item in iterator:
        count += 1
        # The clock is read every few items only: at a million rows a second it would be what is measured.
        if count & 63 == 0 and clock() > until:
            is_complete = False
            break
    elapsed = max(clock() - first, 1e-9)
    return {
        "first_s": first - started,
        "items": count,
        "seconds": elapsed,
        "rate": count / elapsed,
        "complete": is_complete,
    }


def epochs(iterable: Iterable[Any], seconds: float) -> dict[str, Any]:
    """The first epoch's rate, and the median of all later ones that the time allows."""
    until = time.perf_counter() + seconds
    first = one_epoch(iterable, until)
    later = []
    while first["complete"] and time.perf_counter() < until:
        epoch = one_epoch(iterable, until)
        if epoch["seconds"] >= LEAST_SECONDS or not later:
            later.append(epoch["rate"])
    return {**first, "later_rate": statistics.median(later) if later else None, "epochs": 1 + len(later)}


def files_of(corpus: Corpus, name: str) -> list[str]:
    """The files of a case's corpus, read once before it is measured."""
    places = getattr(corpus, name)
    folder = Path(places) if isinstance(places, str) else None
    if folder is None:
        return places
    return [str(path) for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else [str(folder)]


def made() -> Any:
    """What the function of the case that the command line names returns, its files read once before."""
    target, data, scale = sys.argv[1:4]
    keywords = json.loads(sys.argv[5]) if len(sys.argv) > 5 else {}
    module, function = target.split(":")
    corpus = Corpus(float(scale))
    if data:
        read_once(files_of(corpus, data))
    return getattr(importlib.import_module(module), function)(corpus, **keywords)


def main() -> None:
    """Runs the case that the command line names."""
    seconds = float(sys.argv[4])
    result = made()
    report = epochs(result, seconds) if isinstance(result, Iterable) and not isinstance(result, dict) else result
    print("\n" + json.dumps(report), flush=True)
    # Some peers' threads outlive their iterators: to wait for them at exit is to crash, or to wait for ever.
    os._exit(0)


if __name__ == "__main__":
    main()
