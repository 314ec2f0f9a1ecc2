"""merge_states: the states of several workers or ranks made into one cursor for any topology."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rowmill.checked_cursor import check_whole
from rowmill.cursor import Cursor
from rowmill.exceptions import StateMismatchError
from rowmill.holes import compress, expand
from rowmill.left_out import after_taken, from_here, joined
from rowmill.merged_lanes import merge_lanes, missing_ranks
from rowmill.receipts import SHARE, merged_or_none, without_share

__all__ = ["cursors_of", "merge_states", "merge_workers"]

# What must be equal in states that belong to one job.
_SHARED = (
    "schema_version",
    "order_version",
    "revision",
    "revisions",
    "fingerprint",
    "num_rows",
    "order",
    "mix",
    "pipeline",
    "first_epoch",
    "left_out",
)

# More undelivered positions than this between the slowest and the fastest worker is no job that runs.
_MAX_APART = 1 << 20


def merge_states(state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Cursor:
    """Merges states into one cursor that any number of ranks and workers can resume from, exactly.

    Positions that some workers have delivered and others have not are kept as holes of the cursor.

    Args:
        state: A ``StatefulDataLoader``'s state with any number of workers (of one rank: the other ranks are taken to
            be at the same step; with a filter or batched map what is made of it is that rank's alone), a cursor, or
            a list of these, one a rank.

    Raises:
        StateMismatchError: The states are not of one job, a rank's or worker's is missing or there twice (the text
            names it), or there is no rowmill state.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder, num_shards=1)
        ...     ds = rowmill.open(files, index_dir=folder).batch(8)
        ...     first = next(iter(ds))
        >>> rowmill.merge_states([ds.state_dict(), ds.state_dict()])["position"]
        8
    """
    cursors = [cursor for one in _as_list(state) for cursor in cursors_of(one)]
    return without_share(_merged(cursors, is_whole=not isinstance(state, Mapping)))


def merge_workers(cursors: Sequence[Cursor]) -> Cursor:
    """One cursor of the workers of one rank, for that rank."""
    return _merged(cursors, is_whole=False)


def _merged(cursors: Sequence[Cursor], *, is_whole: bool) -> Cursor:
    if not cursors:
        raise StateMismatchError("there is no state to merge")
    for cursor in cursors:
        check_whole(cursor)
    for cursor in cursors[1:]:
        for name in _SHARED:
            if cursor.get(name) != cursors[0].get(name):
                raise StateMismatchError(
                    f"the states are not of one job: {name} is {cursors[0].get(name)!r} in one, "
                    f"{cursor.get(name)!r} in another"
                )
    if len({"lanes" in cursor for cursor in cursors}) > 1:
        raise StateMismatchError("the states are not of one job: some have lanes, others have none")
    merged = merge_lanes(cursors, is_whole) if "lanes" in cursors[0] else _merge_positions(cursors)
    skipped = sum(cursor.get("skipped_rows", 0) for cursor in cursors)
    return {**merged, "skipped_rows": skipped} if skipped else merged


def _as_list(state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return list(state) if isinstance(state, Iterable) and not isinstance(state, Mapping) else [state]


def cursors_of(state: Mapping[str, Any]) -> list[Cursor]:
    """The rowmill cursors inside of one state.

    Raises:
        StateMismatchError: There is none.
    """
    if not isinstance(state, Mapping):
        raise StateMismatchError(f"{state!r:.80} is no state; a rank's is a dict, as ds.state_dict() gives it")
    if "schema_version" in state:
        return [dict(state)]
    snapshot = state.get("_snapshot")
    if isinstance(snapshot, Mapping):
        return _stateful_workers(snapshot, state.get("_steps_since_snapshot", 0))
    found = _find(state)
    if found is not None:
        return [found]
    raise StateMismatchError(
        "this is neither a rowmill cursor nor a StatefulDataLoader's state: it has "
        + (f"the keys {', '.join(map(str, state))}" if state else "no keys at all")
    )


def _stateful_workers(snapshot: Mapping[str, Any], steps_since: int) -> list[Cursor]:
    """The workers' cursors in a StatefulDataLoader's snapshot, moved on by the steps it has not recorded."""
    workers = snapshot.get("_worker_snapshots") or {}
    cursors = []
    for name, worker in workers.items():
        cursor = _find(worker)
        if cursor is None:
            raise StateMismatchError(f"{name} of the StatefulDataLoader's state holds no rowmill state")
        cursors.append(cursor)
    if steps_since:
        _add_steps(cursors, snapshot, steps_since)
    return cursors


def _add_steps(cursors: list[Cursor], snapshot: Mapping[str, Any], steps: int) -> None:
    if any("lanes" in one or "left_out" in one or one.get("batch_size") is None for one in cursors):
        raise StateMismatchError(
            f"the StatefulDataLoader's state is {steps} steps older than what it has returned, and only a dataset "
            "that is batched by .batch(), without .skip_steps, says which rows those were; save with "
            "snapshot_every_n_steps=1"
        )
    by_worker = {_worker(cursor)["id"]: cursor for cursor in cursors}
    last = snapshot.get("_last_yielded_worker_id", len(cursors) - 1)
    for step in range(1, steps + 1):
        cursor = by_worker[(last + step) % len(cursors)]
        # What came since then was not digested.
        cursor.pop("receipt", None)
        if "worker" in cursor:
            cursor["worker"] = {**cursor["worker"], "items": cursor["worker"]["items"] + 1}
        else:
            cursor["position"] += cursor["num_shards"] * cursor["batch_size"]


def _find(part: Any) -> Cursor | None:
    """The cursor nested in a worker's part of a state, whatever torchdata calls its layers."""
    if not isinstance(part, Mapping):
        return None
    if "schema_version" in part:
        return dict(part)
    # The iterator's state is the true one; the dataset's own copy in a worker never moves.
    for name in ("fetcher_state", "dataset_iter_state", "dataset_state"):
        found = _find(part.get(name))
        if found is not None:
            return found
    return None


def _worker(cursor: Cursor) -> dict[str, int]:
    return cursor.get("worker") or {"id": 0, "num_workers": 1, "shard": 0, "items": 0}


def _merge_positions(cursors: Sequence[Cursor]) -> Cursor:
    first = cursors[0]
    if all("worker" not in cursor for cursor in cursors):
        return _same_for_all_ranks(cursors)
    num_workers = _worker(first)["num_workers"]
    num_shards, batch_size = first["num_shards"], first["batch_size"] or 1
    delivered: dict[tuple[int, int], int] = {}
    for cursor in cursors:
        worker = _worker(cursor)
        if worker["num_workers"] != num_workers or (cursor["position"], cursor["epoch"]) != (
            first["position"],
            first["epoch"],
        ):
            raise StateMismatchError("the workers' states do not begin at the same place; they are not of one job")
        if (worker["shard"], worker["id"]) in delivered:
            raise StateMismatchError(
                f"the state of worker {worker['id']} of rank {worker['shard']} is there twice; give each one once"
            )
        delivered[worker["shard"], worker["id"]] = worker["items"]
    shards = sorted({shard for shard, _ in delivered})
    missing = [(shard, worker) for shard in shards for worker in range(num_workers) if (shard, worker) not in delivered]
    if missing:
        raise StateMismatchError(f"the state of worker {missing[0][1]} of rank {missing[0][0]} is missing")
    if shards != list(range(num_shards)) and len(shards) > 1:
        raise StateMismatchError(f"{missing_ranks(shards, num_shards)}; give one rank's, or all")
    whole = merged_or_none(cursor.get("receipt") for cursor in cursors)
    known: Cursor = {}
    if whole is not None:
        known = {"receipt": whole} if len(shards) == num_shards else {SHARE: {**whole, "rank": shards[0]}}
    # One rank's state stands for all: ranks take the same steps.
    counts = [
        [delivered[shard if len(shards) > 1 else shards[0], worker] for worker in range(num_workers)]
        for shard in range(num_shards)
    ]
    # Holes are places of the whole stream, which the position inside of an epoch alone does not tell.
    start = next((cursor["worker"]["start"] for cursor in cursors if "start" in _worker(cursor)), first["position"])
    return {**_with_holes(first, counts, num_workers, batch_size, start), **known}


def _same_for_all_ranks(cursors: Sequence[Cursor]) -> Cursor:
    first = cursors[0]
    for cursor in cursors[1:]:
        place = [(one["epoch"], one["position"], one.get("holes")) for one in (first, cursor)]
        if place[0] != place[1]:
            raise StateMismatchError(
                f"the ranks' cursors are not of the same step: epoch {place[0][0]} position {place[0][1]} and "
                f"epoch {place[1][0]} position {place[1][1]}; save all ranks at one step"
            )
    merged = {name: value for name, value in first.items() if name not in ("receipt", SHARE)}
    shares = [cursor[SHARE] for cursor in cursors if SHARE in cursor]
    if shares:
        # Of all ranks, or nothing is known of the whole.
        whole = merged_or_none(shares) if len(shares) == first["num_shards"] else None
    else:
        whole = first.get("receipt") if all(one.get("receipt") == first.get("receipt") for one in cursors) else None
    return merged if whole is None else {**merged, "receipt": whole}


def _with_holes(first: Cursor, counts: list[list[int]], num_workers: int, batch_size: int, start: int) -> Cursor:
    """One cursor of what consumers (rank, worker) have delivered since the position of ``first``."""
    num_shards = len(counts)
    step = num_shards * batch_size
    before = expand(first.get("holes", ()))
    left_out = from_here(
        joined((one, end) for one, end in first.get("left_out") or ()), start, start + len(before), step
    )
    taken = max(
        (count - 1) * num_workers + worker + 1 if count else 0 for rank in counts for worker, count in enumerate(rank)
    )
    undelivered = [
        (after_taken(left_out, item + 1) - 1) * step + shard + num_shards * row
        for shard, rank in enumerate(counts)
        for worker, count in enumerate(rank)
        for item in range(worker + num_workers * count, taken, num_workers)
        for row in range(batch_size)
    ]
    if len(undelivered) > _MAX_APART:
        raise StateMismatchError("the workers are more than a million rows apart; the states are not of one job")
    top = after_taken(left_out, taken)

    def position(index: int) -> int:
        """The position at an index of what was left when the workers began."""
        return before[index] if index < len(before) else start + index

    holes = [position(index) for index in sorted(undelivered)]
    # Holes that nobody had reached yet stay holes where something after them was delivered.
    holes += before[top * step :]
    merged = {name: value for name, value in first.items() if name not in ("worker", "holes", "receipt")}
    merged["position"] = first["position"] + top * step - len(undelivered)
    if holes:
        merged["holes"] = [list(run) for run in compress(sorted(holes))]
    return merged
