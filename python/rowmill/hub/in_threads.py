"""Calls in several threads, of which one that fails ends what has not begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["run_all"]


def run_all(calls: Iterable[Callable[[], object]], num_threads: int) -> None:
    """Makes all calls, so many at once, begun in order.

    Raises:
        Exception: That of the first call, in order, that has one; what other calls have done stays.
    """
    with ThreadPoolExecutor(num_threads) as pool:
        tasks = [pool.submit(call) for call in calls]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
