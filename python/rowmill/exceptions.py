"""Every error rowmill raises on its own account, under one base.

Each also derives from the standard exception that a Python user expects in its place, and carries
``path``, ``block`` and ``offset`` where they apply.
"""

from __future__ import annotations

__all__ = [
    "AccessDeniedError",
    "CorruptShardError",
    "DatasetNotFoundError",
    "DiskBudgetError",
    "MissingShardError",
    "OfflineError",
    "OutOfRangeError",
    "RevisionNotFoundError",
    "RowmillError",
    "SchemaMismatchError",
    "StateMismatchError",
    "TopologyError",
    "UnreachableError",
]


class RowmillError(Exception):
    """Base of all errors of rowmill.

    Attributes:
        path: The file at fault, or None.
        block: Index of the block (record batch) inside the file, or None.
        offset: Byte offset inside the file, or None.
    """

    def __init__(
        self, message: str, path: str | None = None, block: int | None = None, offset: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.block = block
        self.offset = offset

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[RowmillError], tuple[str, str | None, int | None, int | None]]:
        # DataLoader workers send their errors to the parent by pickle; the place must survive that.
        return type(self), (self.message, self.path, self.block, self.offset)


class CorruptShardError(RowmillError, OSError):
    """A file's bytes are not what its format promises."""


class MissingShardError(RowmillError, FileNotFoundError):
    """A shard that was asked for is not there."""


class SchemaMismatchError(RowmillError, TypeError):
    """Shards disagree about columns, or a request does not fit a column."""


class StateMismatchError(RowmillError, ValueError):
    """A cursor does not belong to this data, order or pipeline."""


class TopologyError(RowmillError, ValueError):
    """Ranks, workers, lanes or batch sizes do not fit together."""


class OutOfRangeError(RowmillError, IndexError):
    """There is no such row, position or step; the text says which there are."""


class DatasetNotFoundError(RowmillError, FileNotFoundError):
    """No data set of that name can be had."""


class RevisionNotFoundError(RowmillError):
    """The data set has no such revision."""


class DiskBudgetError(RowmillError, OSError):
    """What is to be written takes more room than it may, or than there is; the text names both."""


class OfflineError(RowmillError, ConnectionError):
    """Something is needed that is not in the cache, and the network is off."""


class UnreachableError(RowmillError, ConnectionError):
    """A server does not answer, or not as it should, however often it is asked."""


class AccessDeniedError(RowmillError, PermissionError):
    """The file system or the hub refuses access."""
