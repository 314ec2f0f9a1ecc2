"""States of a job: those of all ranks made one, from memory, from files, or over torch.distributed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rowmill.cursor import Cursor
from rowmill.exceptions import MissingShardError, StateMismatchError
from rowmill.merge import merge_states

__all__ = ["States", "as_cursor", "gathered", "read_state"]

Path_ = str | os.PathLike[str]
States = Mapping[str, Any] | Path_ | Sequence[Mapping[str, Any] | Path_]

# A cursor has at most 16 KB; a DataLoader's state of 1,024 workers is far below this.
_MAX_BYTES = 64 << 20
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
# The parts of states that loaders make around a cursor.
_STATE_KEYS = ("schema_version", "_snapshot", "fetcher_state", "dataset_iter_state", "dataset_state")


def as_cursor(state: States) -> Any:
    """A state as it is; the states of ranks, as files or in memory, merged into the cursor of their job.

    Raises:
        MissingShardError: No such file or folder, or no state in it.
        StateMismatchError: A rank's state is missing, or is no state of the same job; the text names it.
    """
    if isinstance(state, Mapping):
        return state
    if isinstance(state, str | os.PathLike):
        path = Path(state)
        return _merged_folder(path) if path.is_dir() else _one(_read(path))
    if not isinstance(state, list | tuple):
        return state  # what refuses it knows what it is
    return merge_states([one for part in state for one in _all(part)])


def gathered(make: Callable[[], Cursor]) -> Cursor:
    """The cursor of the whole job, on every rank, of those that ``make`` makes on each.

    The states travel as JSON in tensors: nothing is unpickled. A rank whose own state cannot be had says so to the
    others, so that none of them waits for ever.

    Raises:
        StateMismatchError: A rank has no state; the text names it.
    """
    failed: BaseException | None = None
    try:
        message = json.dumps({"state": make()})
    except Exception as error:
        failed, message = error, json.dumps({"error": f"{type(error).__name__}: {error}"})
    # Commands read states without torch, whose import takes seconds.
    from rowmill.torch import all_gather_bytes

    messages = [json.loads(one) for one in all_gather_bytes(message.encode())]
    if failed is not None:
        raise failed
    for rank, one in enumerate(messages):
        if "error" in one:
            raise StateMismatchError(f"rank {rank} has no state to gather: {one['error']}")
    states: list[Cursor] = []
    for one in messages:
        # Processes that share a rank's rows, as in tensor parallelism, have the same state.
        if one["state"] not in states:
            states.append(one["state"])
    return merge_states(states)


def read_state(path: Path) -> Any:
    """The JSON value in a file.

    Raises:
        StateMismatchError: It is a torch checkpoint or a pickle, or no JSON.
    """
    num_bytes = path.stat().st_size
    if num_bytes > _MAX_BYTES:
        raise StateMismatchError(f"{path} has {num_bytes:,} bytes and is no state; states are JSON of a few KB")
    content = path.read_bytes()
    if content.startswith((_ZIP, _PICKLE)):
        kind = "a torch checkpoint (a zip around a pickle)" if content.startswith(_ZIP) else "a pickle"
        raise StateMismatchError(
            f"{path} is {kind}, and rowmill unpickles nothing, for a pickle can run any program. Load it yourself and "
            'save the cursor in it as JSON: json.dump(torch.load(path, weights_only=True)["cursor"], file)'
        )
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StateMismatchError(f"{path} is no JSON, and states are kept as JSON: {error}") from None


def _read(path: Path) -> Any:
    try:
        return read_state(path)
    except FileNotFoundError:
        raise MissingShardError(f"there is no state at {path}: no such file or folder", str(path)) from None


def _one(state: Any) -> Any:
    """The cursor in a file: as it is, or of the list of states that it holds."""
    return merge_states(state) if isinstance(state, list) or not _is_cursor(state) else state


def _all(part: Any) -> list[Any]:
    state = _read(Path(part)) if isinstance(part, str | os.PathLike) else part
    return list(state) if isinstance(state, list) else [state]


def _merged_folder(folder: Path) -> Cursor:
    found = {}
    for path in sorted(folder.glob("*.json")):
        state = _all(path)
        # A checkpoint's folder holds other files too: configurations, counts of the trainer.
        if state and all(isinstance(one, Mapping) and any(key in one for key in _STATE_KEYS) for one in state):
            found[path.name] = state
    if not found:
        raise MissingShardError(f"{folder} holds no state: no *.json in it is a cursor", str(folder))
    try:
        return merge_states([one for state in found.values() for one in state])
    except StateMismatchError as error:
        raise StateMismatchError(f"{folder} ({', '.join(found)}): {error}", str(folder)) from None


def _is_cursor(state: Any) -> bool:
    return isinstance(state, Mapping) and "schema_version" in state
