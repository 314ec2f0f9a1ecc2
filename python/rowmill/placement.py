"""Which part of a job this process is: its rank and its DataLoader worker."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from rowmill.exceptions import TopologyError

__all__ = ["Placement", "find_rank", "find_worker"]


@dataclass(frozen=True, slots=True)
class Placement:
    """One consumer of a job: rank ``index`` of ``num_shards``, worker ``worker`` of ``num_workers``."""

    num_shards: int = 1
    index: int = 0
    num_workers: int = 1
    worker: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.num_shards:
            raise TopologyError(
                f"shard index {self.index} does not exist among {self.num_shards} shards; "
                f"it must be from 0 to {self.num_shards - 1}"
            )
        if not 0 <= self.worker < self.num_workers:
            raise TopologyError(f"worker {self.worker} does not exist among {self.num_workers} workers")


def find_rank(explicit: tuple[int, int] | None) -> tuple[int, int]:
    """Returns (num_shards, index): the explicit one, else torch.distributed's, else RANK/WORLD_SIZE, else one rank.

    Raises:
        TopologyError: Only one of RANK and WORLD_SIZE is set, or they are no numbers that fit.
    """
    return explicit or _from_distributed() or _from_environment() or (1, 0)


def _from_distributed() -> tuple[int, int] | None:
    # Looked up, never imported: a job that uses torch.distributed has imported it already.
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.get_world_size(), distributed.get_rank()


def _from_environment() -> tuple[int, int] | None:
    rank, world_size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None and world_size is None:
        return None
    if rank is None or world_size is None:
        missing = "RANK" if rank is None else "WORLD_SIZE"
        raise TopologyError(f"{missing} is not set although its twin is; set both, or say .shard(num_shards, index)")
    try:
        placement = Placement(int(world_size), int(rank))
    except ValueError as error:
        raise TopologyError(f"RANK={rank!r} and WORLD_SIZE={world_size!r} do not fit: {error}") from None
    return placement.num_shards, placement.index


def find_worker() -> tuple[int, int] | None:
    """Returns (num_workers, worker) inside a torch DataLoader worker, None in any other process."""
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data is not None else None
    return None if info is None else (info.num_workers, info.id)
