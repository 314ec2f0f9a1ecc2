"""What the DataLoader tests share."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_leftover_loaders() -> Iterator[None]:
    """Ends the loaders of a test before the next one forks.

    A worker inherits torch iterators that wait for the garbage collector, and its finalizer of them waits 5 s each.
    """
    yield
    gc.collect()
