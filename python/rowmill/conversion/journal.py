"""What a conversion has finished, on disk before it goes on, so that a kill costs one shard at most."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rowmill.conversion.outflow import Outflow
from rowmill.conversion.shard_writer import sync_folder
from rowmill.exceptions import StateMismatchError

__all__ = ["Journal"]

_NOTE = "dataset.json"
_JOURNAL = ".rowmill-convert.jsonl"
_LOCK = ".rowmill-convert.lock"
_PART = ".part"
_VERSION = 1
# What is said of a shard for the one behind it only.
_PASSING = ("carried",)
# What the shards' own numbers come to, where they have them.
_SUMS = ("num_tokens", "num_padding")


class Journal:
    """Finished shards of one conversion in ``folder``: a line of JSON each, the settings first.

    Entering takes the folder for this process, and refuses one that holds anything but this conversion, unfinished.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings = json.loads(json.dumps(settings))
        self.shards: list[dict[str, Any]] = []
        self._facts: dict[str, Any] = {}
        self._lock: Any = None
        self._is_finished = False
        self._committing = ThreadPoolExecutor(1, thread_name_prefix="rowmill-commit")
        self._committed: Future[None] | None = None

    def __enter__(self) -> Journal:
        from filelock import FileLock, Timeout

        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(f"{self.folder} is a file, and not a folder; choose another name, or remove it")
        # Looked at before anything is put there, and once more when nobody else can write.
        self._refuse_others()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(str(self.folder / _LOCK), timeout=0)
            self._lock.acquire()
        except Timeout:
            message = f"{self.folder} is being written by another process; wait for it, or choose another folder"
            raise FileExistsError(message) from None
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # A shard on its way to the disk arrives; what it says matters to `finish` alone.
        self._committing.shutdown()
        if self._lock is not None:
            if not self._is_finished:
                # A full disk has use for the room; the error on its way is what counts.
                with contextlib.suppress(OSError):
                    self._clear()
            self._lock.release()
            if self._is_finished:
                # Whoever takes the lock in between finds a finished data set.
                (self.folder / _LOCK).unlink(missing_ok=True)

    def remember(self, name: str, make: Callable[[], int]) -> int:
        """A number that the first run works out and every later one takes over."""
        if name not in self._facts:
            self._facts[name] = make()
            self._append({name: self._facts[name]})
        return int(self._facts[name])

    def write_shard(
        self, name: str, num_rows: int, write: Callable[..., dict[str, Any] | None], beside: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Lets ``write`` make a file, and takes it as the shard ``name`` once it is on disk.

        Bringing it there goes on beside the writing of the next one: a kill costs what is written and, at most, one
        shard that is on its way.

        Args:
            name: Of the file.
            num_rows: What it holds, unless what ``write`` returns says otherwise.
            write: Takes the path to write, and one for each of ``beside``; returns what is to be said of the shard.
                Files that a thread still writes are in ``files``, and are waited for beside the next shard.
            beside: Files that belong to it.

        Returns:
            What ``write`` said of the shard.
        """
        names = [name, *beside]
        facts = write(*(self._part(each) for each in names)) or {}
        flowing: list[Outflow] | None = facts.pop("files", None)
        try:
            self._wait()
        except BaseException:
            for file in flowing or ():
                file.abandon()
            raise
        self._committed = self._committing.submit(self._commit, names, {"num_rows": num_rows, **facts}, flowing)
        return facts

    def _part(self, name: str) -> Path:
        return self.folder / f".{name}{_PART}"

    def _wait(self) -> None:
        if self._committed is not None:
            committed, self._committed = self._committed, None
            committed.result()

    def _commit(self, names: list[str], facts: dict[str, Any], flowing: list[Outflow] | None) -> None:
        files = (
            [_on_disk(self._part(name)) for name in names] if flowing is None else [file.arrive() for file in flowing]
        )
        first, *beside = [{"name": name, **file} for name, file in zip(names, files, strict=True)]
        # The first last: where it stands, all of the shard does.
        for name in reversed(names):
            self._part(name).replace(self.folder / name)
        sync_folder(self.folder)
        shard = {**first, **facts, **({"beside": beside} if beside else {})}
        self._append({"shard": shard})
        self.shards.append(shard)

    def finish(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Writes ``dataset.json``; from here on the folder is a finished data set."""
        self._wait()
        shards = [{name: fact for name, fact in shard.items() if name not in _PASSING} for shard in self.shards]
        num_rows = sum(shard["num_rows"] for shard in shards)
        note = {
            "version": _VERSION,
            **facts,
            "num_rows": num_rows,
            "estimated_size": num_rows,
            **{name: sum(shard[name] for shard in shards) for name in _SUMS if all(name in one for one in shards)},
            "num_bytes": sum(shard["num_bytes"] for shard in shards),
            "num_shards": len(shards),
            "shards": shards,
        }
        part = self.folder / f".{_NOTE}{_PART}"
        with open(part, "w", encoding="utf-8") as file:
            json.dump(note, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.folder / _NOTE)
        sync_folder(self.folder)
        self._clear(_JOURNAL)
        self._is_finished = True
        return note

    def _refuse_others(self) -> None:
        # With a journal it is this conversion, or one that is compared with it; a kill may hit the very end.
        if self.folder.is_dir() and not (self.folder / _JOURNAL).exists():
            if (self.folder / _NOTE).exists():
                message = f"{self.folder} holds a finished data set; choose another folder, or remove this one"
                raise FileExistsError(message)
            others = sorted(path.name for path in self.folder.iterdir() if not _is_own(path.name))
            if others:
                raise FileExistsError(
                    f"{self.folder} holds other files, such as {others[0]}; choose a new or an empty folder"
                )

    def _begin(self) -> None:
        self._refuse_others()
        lines = self._lines()
        if lines:
            self._check(lines[0].get("settings"))
            for line in lines[1:]:
                self._facts.update({name: value for name, value in line.items() if name != "shard"})
            self.shards = self._whole([line["shard"] for line in lines if "shard" in line])
        else:
            (self.folder / _JOURNAL).unlink(missing_ok=True)
            self._append({"settings": self.settings})
        self._clear()

    def _lines(self) -> list[dict[str, Any]]:
        """What was recorded; a line that a kill cut short does not count, and goes."""
        path = self.folder / _JOURNAL
        text = path.read_bytes() if path.exists() else b""
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            with open(path, "rb+") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        try:
            return [json.loads(line) for line in text[:whole].splitlines()]
        except ValueError:
            raise StateMismatchError(
                f"{path} is damaged, so what is in {self.folder} cannot be told; remove the folder", str(path)
            ) from None

    def _check(self, before: dict[str, Any] | None) -> None:
        for name, now in self.settings.items():
            then = (before or {}).get(name)
            if then != now:
                raise StateMismatchError(
                    f"{self.folder} holds an unfinished conversion whose {name} is {then}, not {now}; "
                    "ask for the same again to go on, or remove the folder",
                    str(self.folder),
                )

    def _whole(self, shards: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The shards up to the first whose file is not what was recorded."""
        for index, shard in enumerate(shards):
            paths = [(self.folder / file["name"], file["num_bytes"]) for file in (shard, *shard.get("beside", ()))]
            if not all(path.is_file() and path.stat().st_size == size for path, size in paths):
                self._rewrite(shards[:index])
                return shards[:index]
        return shards

    def _rewrite(self, shards: list[dict[str, Any]]) -> None:
        (self.folder / _JOURNAL).unlink()
        for line in ({"settings": self.settings}, *({name: value} for name, value in self._facts.items())):
            self._append(line)
        for shard in shards:
            self._append({"shard": shard})

    def _append(self, line: dict[str, Any]) -> None:
        with open(self.folder / _JOURNAL, "ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _clear(self, *names: str) -> None:
        """Removes what is of no use any more: files that a kill left half-written, and ``names``."""
        for path in self.folder.iterdir():
            if path.name in names or (path.name.startswith(".") and path.name.endswith(_PART)):
                path.unlink(missing_ok=True)


def _on_disk(part: Path) -> dict[str, Any]:
    """Brings a file to the disk; what is on it."""
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"num_bytes": part.stat().st_size, "sha256": digest}


def _is_own(name: str) -> bool:
    return name in (_JOURNAL, _LOCK) or (name.startswith(".") and name.endswith(_PART))
