"""Where rows were found: what ``load_dataset`` opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rowmill.hub.slices import Part

__all__ = ["Place", "Question"]


@dataclass(frozen=True)
class Question:
    """What a caller of ``load_dataset`` asked for; the arguments of that name.

    Attributes:
        streaming: Whether files that are not here are read over the network: True, False or "auto".
    """

    path: str
    name: str | None
    split: str
    data_files: object
    data_dir: str | None
    revision: str | None
    streaming: bool | str
    num_proc: int | None


@dataclass(frozen=True)
class Place:
    """Files by split, in the order in which they are read; or a folder of ``datasets``, which knows its own.

    Attributes:
        format: As ``rowmill.open`` calls it; None where it finds that out.
        columns: Those that the README chooses; all when None.
        origin: The repository and commit, as cursors name them; None for files here.
        known: Of files that are read over the network: the URL, the bytes, the hash, and that they never change.
    """

    parts: Sequence[Part]
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    format: str | None = None
    columns: Sequence[str] | None = None
    origin: str | None = None
    known: Sequence[tuple[str, int, str | None, bool]] = ()
    folder: str | None = None
    folder_split: str | None = None
