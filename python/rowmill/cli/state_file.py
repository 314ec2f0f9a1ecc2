"""State files as people keep them: a cursor as JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rowmill.checked_cursor import check_whole
from rowmill.exceptions import StateMismatchError
from rowmill.states import read_state

__all__ = ["read_cursor", "read_state", "write_json", "write_state"]


def read_cursor(path: Path) -> dict[str, Any]:
    """The cursor in a file.

    Raises:
        StateMismatchError: The file holds something else.
    """
    state = read_state(path)
    if not isinstance(state, dict) or "schema_version" not in state:
        raise StateMismatchError(
            f"{path} holds no rowmill cursor. If it is the state of a StatefulDataLoader or a list of the ranks' "
            f"states, make one of it: rowmill state merge {path} -o cursor.json"
        )
    try:
        check_whole(state)
    except StateMismatchError as error:
        raise StateMismatchError(f"{path}: {error}", str(path)) from None
    return state


def write_state(path: Path, cursor: dict[str, Any]) -> None:
    """Writes a cursor whole or not at all."""
    write_json(path, cursor)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    new = path.with_name(path.name + f".{os.getpid()}.new")
    try:
        with new.open("w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
