"""One repository at one commit: its files, those that are here, and the rest fetched."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import shlex
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from rowmill.conversion.disk_errors import explained
from rowmill.conversion.progress import Bar
from rowmill.exceptions import MissingShardError, OfflineError
from rowmill.hub.cached import repo_folder
from rowmill.hub.client import Client
from rowmill.hub.in_threads import run_all
from rowmill.hub.listing import HubFile, Listing, read_listing, write_listing
from rowmill.hub.names import check_file_name, check_repo_name
from rowmill.hub.pieces import Pieces, comes_in_pieces
from rowmill.hub.records import lock_of
from rowmill.hub.revisions import find_commit
from rowmill.hub.settings import Settings

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["Repository", "open_repository"]

# As many as huggingface_hub uses.
_NUM_CONNECTIONS = 8
_MOST_NAMED = 100
_NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\..*)?", re.DOTALL)


def open_repository(repo: str, revision: str | None, settings: Settings, kind: str = "dataset") -> Repository:
    """A repository at the commit that ``revision`` is, of kind "dataset" or "model"; see ``find_commit``."""
    check_repo_name(repo)
    return Repository(repo, find_commit(repo, revision, settings, kind), settings, kind)


@dataclass(frozen=True)
class Repository:
    """A repository at a commit.

    Attributes:
        repo: Its name.
        sha: The commit.
        settings: How the Hub is reached.
        kind: "dataset" or "model".
    """

    repo: str
    sha: str
    settings: Settings
    kind: str = "dataset"

    @property
    def place(self) -> str:
        """As cursors, fingerprints and messages name it."""
        return f"{self.repo}@{self.sha}"

    @property
    def folder(self) -> Path:
        """Where ``huggingface_hub`` keeps it."""
        return repo_folder(self.repo, self.settings, self.kind)

    @cached_property
    def listing(self) -> Listing:
        """Every file of the commit: as the cache has it, else asked for.

        Offline, and where the cache has no list, the files that are here; a warning says that there may be more.
        """
        listing = self.known_listing
        if listing is not None:
            return listing
        if self.settings.is_offline:
            return self._of_snapshot()
        with self._lock("tree"):
            # Somebody else may have asked meanwhile.
            listing = read_listing(self.folder, self.sha)
            if listing is None:
                listing = Client(self.repo, self.settings, self.kind).listing(self.sha)
                write_listing(self.folder, self.sha, listing)
        return listing

    @cached_property
    def known_listing(self) -> Listing | None:
        """The files of the commit as the cache has them written down."""
        return read_listing(self.folder, self.sha)

    def _of_snapshot(self) -> Listing:
        root = self.folder / "snapshots" / self.sha
        listing: Listing = {}
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                if path.is_file():
                    listing[path.relative_to(root).as_posix()] = HubFile(path.stat().st_size, "")
        if listing:
            warnings.warn(
                f"the cache has no list of the files of {self.place}, only {len(listing)} of them, which may not be "
                f"all; huggingface_hub 2 keeps one: {self._command(())}",
                stacklevel=2,
            )
            self._refuse_gaps(listing)
        return listing

    def _refuse_gaps(self, listing: Iterable[str]) -> None:
        """What is numbered tells itself when it is not all here."""
        numbered: dict[tuple[str, str, str], int] = {}
        for path in listing:
            if found := _NUMBERED.fullmatch(path):
                key = found[1], found[3], found[4] or ""
                numbered[key] = numbered.get(key, 0) + 1
        for (stem, of, suffix), number in numbered.items():
            if number < int(of):
                raise OfflineError(
                    f"the cache has {number} of the {int(of)} files {stem}-*-of-{of}{suffix} of {self.place}, and the "
                    f"network is off; where there is one: hf download {self.repo} --repo-type {self.kind} "
                    f"--revision {self.sha} --include {shlex.quote(f'{stem}-*')}",
                    self.repo,
                )

    def local(self, path: str) -> Path:
        """Where a file of the commit is, or will be."""
        return self.folder / "snapshots" / self.sha / check_file_name(path, self.place)

    def is_here(self, path: str) -> bool:
        """Whether a file is here, with the size that the commit says."""
        try:
            return os.stat(self.local(path)).st_size == self.listing[path].size
        except OSError:
            return False

    def read_text(self, path: str) -> str | None:
        """A small file's text; None where the commit has no such file."""
        if path not in self.listing:
            return None
        self.fetch([path])
        return self.local(path).read_text(encoding="utf-8", errors="replace")

    def fetch(self, paths: Sequence[str], *, asked: str = "") -> list[str]:
        """Makes files be here; returns where, in order.

        Processes wait for one that fetches, so that each file comes once to a machine.

        Args:
            paths: Files of the commit.
            asked: Options that name them on the command line, for messages.

        Raises:
            OfflineError: The network is off, and some are missing; the message lists them.
            MissingShardError: The commit has no such file.
            CorruptShardError: A name would lead out of the folder, or the bytes are others than the commit's.
            OSError: There is no room.
        """
        for path in paths:
            if path not in self.listing:
                raise MissingShardError(f"{self.place} has no file {path}", path)
        missing = [path for path in paths if not self.is_here(path)]
        if missing and self.settings.is_offline:
            raise self._offline(missing, len(paths))
        if missing:
            with explained(
                self.settings.hub_cache,
                closed="files of the Hub are kept there; name another folder by HF_HOME or cache_dir",
                full="the files of the data set need some; name another folder by HF_HOME or cache_dir",
            ):
                self._download(missing)
        return [str(self.local(path)) for path in paths]

    def _offline(self, missing: Sequence[str], number: int) -> OfflineError:
        sizes = [f"  {path} ({self.listing[path].size:,} bytes)" for path in sorted(missing)]
        more = [f"  and {len(sizes) - _MOST_NAMED} more"] if len(sizes) > _MOST_NAMED else []
        return OfflineError(
            "\n".join(
                [
                    f"the network is off, and {len(missing)} of {number} files of {self.place} are not here:",
                    *sizes[:_MOST_NAMED],
                    *more,
                    f"where there is a network, this fetches them: {self._command(missing)}",
                ]
            ),
            self.repo,
        )

    def _command(self, missing: Sequence[str]) -> str:
        """What downloads these files, and not many others."""
        names = list(missing)
        if len(names) > 8:
            names = sorted({f"{posixpath.dirname(path)}/*".lstrip("/") for path in missing})
        included = "".join(f" --include {shlex.quote(name)}" for name in names[:20])
        return f"hf download {self.repo} --repo-type {self.kind} --revision {self.sha}{included}"

    def _download(self, missing: Sequence[str]) -> None:
        client = Client(self.repo, self.settings, self.kind)
        for path in missing:
            check_file_name(path, self.place)
        self._check_room(missing)
        with self._lock("files"):
            missing = [path for path in missing if not self.is_here(path)]
            total = sum(self.listing[path].size for path in missing)
            with Bar(f"downloading {self.repo}", total, is_bytes=True) as bar:
                # What has come stays where a call fails.
                run_all(self._tasks(client, missing, bar), _NUM_CONNECTIONS)

    def _tasks(self, client: Client, missing: Sequence[str], bar: Bar) -> list[Callable[[], object]]:
        """What threads do so that the files are here."""
        tasks: list[Callable[[], object]] = []
        for path in missing:
            like = self.listing[path]
            if not comes_in_pieces(like):
                tasks.append(partial(client.fetch, path, like, self.sha, bar.add))
                continue
            pieces = Pieces(client, self.folder, path, like, self.sha, bar.add)
            # Where it lies is asked for beside the file before it: all its pieces would wait for that at once.
            tasks.insert(max(len(tasks) - _NUM_CONNECTIONS, 0), pieces.locate_early)
            tasks += [partial(pieces.fetch, piece) for piece in pieces.todo]
        return tasks

    def _check_room(self, missing: Sequence[str]) -> None:
        self.settings.hub_cache.mkdir(parents=True, exist_ok=True)
        needed, free = sum(self.listing[path].size for path in missing), shutil.disk_usage(self.settings.hub_cache).free
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"{self.place} needs {needed:,} bytes more and there are {free:,}; name another folder by HF_HOME or "
                "cache_dir, or choose fewer files by data_files",
                str(self.settings.hub_cache),
            )

    def _lock(self, what: str) -> BaseFileLock:
        return lock_of(self.settings.records / "locks", str(self.folder), self.sha, what)
