"""A large file in pieces: several ranges of it at once, and on from where a killed run stopped.

``huggingface_hub`` fetches a file over one connection, and begins anew after a kill. What is fetched here becomes its
blob, compared with the commit's hash, so that every client finds it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rowmill.exceptions import RevisionNotFoundError, RowmillError
from rowmill.hub.client import Client
from rowmill.hub.listing import HubFile

__all__ = ["PIECE_BYTES", "Pieces", "comes_in_pieces"]

# Long enough to hide a request's latency, short enough for several of a file.
PIECE_BYTES = 16 << 20
_BUFFER = 1 << 20
# So much has come before it is brought to the disk: the end of the file waits for little more.
_SYNC_BYTES = 32 << 20


def comes_in_pieces(like: HubFile) -> bool:
    """Whether a file is worth it: large, in LFS, whose hash is that of the bytes, and not left to Xet."""
    return like.sha256 is not None and like.size >= 2 * PIECE_BYTES and not (like.xet_hash and _has_xet())


def _has_xet() -> bool:
    from huggingface_hub.utils import is_xet_available

    return bool(is_xet_available())


class _WholeOnly(RowmillError):
    """The place of the file gives no ranges."""


class Pieces:
    """One file on its way; threads fetch its pieces, and the last of them puts it into its place.

    Whoever makes one holds the lock of the repository's files.
    """

    def __init__(
        self, client: Client, folder: Path, path: str, like: HubFile, sha: str, progress: Callable[[int], None]
    ) -> None:
        assert like.sha256 is not None, "only what lies in LFS comes in pieces"
        self._client, self._path, self._like, self._sha, self._progress = client, path, like, sha, progress
        self._blob = folder / "blobs" / like.sha256
        self._part = self._blob.with_name(f"{like.sha256}.rowmill.part")
        self._note = self._blob.with_name(f"{like.sha256}.rowmill.pieces")
        self._lock, self._hashing = threading.Lock(), threading.Lock()
        self._digest, self._num_hashed = hashlib.sha256(), 0
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="rowmill-sync")
        self._synced: list[Future[None]] = []
        self._num_unsynced = 0
        self._location: str | None = None
        self._is_refused = False
        self._goes_direct = True
        self.num_pieces = -(-like.size // PIECE_BYTES)
        self._finished = self._begun()
        progress(sum(self._bounds(piece)[1] - self._bounds(piece)[0] for piece in self._finished))

    @property
    def todo(self) -> list[int]:
        """The pieces that are not here; the last one where all are, so that somebody ends it."""
        return [piece for piece in range(self.num_pieces) if piece not in self._finished] or [self.num_pieces - 1]

    def fetch(self, piece: int) -> None:
        """Fetches a piece; with the last one the file is compared with its hash and is there."""
        if piece not in self._finished and not self._is_refused:
            try:
                self._client.asked(_Range(self, *self._bounds(piece)).read, self._sha)
                self._note_finished(piece)
            except _WholeOnly:
                self._is_refused = True
        with self._lock:
            self._num_left -= 1
            is_last = self._num_left == 0
        self._hash(wait=is_last)
        if is_last:
            self._end()

    def _begun(self) -> set[int]:
        """What an earlier run has fetched; the file is made where there is none."""
        self._blob.parent.mkdir(parents=True, exist_ok=True)
        try:
            is_ours = os.path.getsize(self._part) == self._like.size
            lines = self._note.read_text(encoding="ascii").split("\n")[:-1] if is_ours else []
        except (OSError, ValueError):
            lines = []
        # Of another size of pieces, or torn: begun anew.
        is_ours = bool(lines) and lines[0] == str(PIECE_BYTES) and all(line.isdigit() for line in lines)
        found = {int(line) for line in lines[1:] if int(line) < self.num_pieces} if is_ours else set()
        if not found:
            with open(self._part, "wb") as part:
                part.truncate(self._like.size)
            self._note.write_text(f"{PIECE_BYTES}\n", encoding="ascii", newline="\n")
        self._num_left = max(self.num_pieces - len(found), 1)
        return found

    def _bounds(self, piece: int) -> tuple[int, int]:
        return piece * PIECE_BYTES, min((piece + 1) * PIECE_BYTES, self._like.size)

    def _note_finished(self, piece: int) -> None:
        with self._lock, open(self._note, "a", encoding="ascii", newline="\n") as note:
            note.write(f"{piece}\n")
            self._finished.add(piece)
            self._num_unsynced += PIECE_BYTES
            if self._num_unsynced >= _SYNC_BYTES:
                self._num_unsynced = 0
                self._synced.append(self._syncing.submit(_sync, self._part))

    def _hash(self, *, wait: bool) -> None:
        """Takes the pieces that are here into the hash, in order, while others are still on their way."""
        if not self._hashing.acquire(blocking=wait):
            return
        try:
            while self._num_hashed in self._finished:
                start, stop = self._bounds(self._num_hashed)
                with open(self._part, "rb") as part:
                    part.seek(start)
                    while start < stop and (got := part.read(min(_BUFFER, stop - start))):
                        self._digest.update(got)
                        start += len(got)
                self._num_hashed += 1
        finally:
            self._hashing.release()

    def _end(self) -> None:
        is_whole = self._num_hashed == self.num_pieces and self._digest.hexdigest() == self._like.sha256
        self._syncing.shutdown()
        if is_whole:
            for synced in self._synced:
                synced.result()
            _sync(self._part)
            os.replace(self._part, self._blob)
        else:
            self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        if is_whole:
            self._client.link(self._path, self._sha)
        else:
            # As a whole, and again if need be; what stays wrong is told there.
            self._client.fetch(self._path, self._like, self._sha, self._progress)

    def locate(self) -> str:
        """Where the bytes are: the Hub itself, or the signed address that it gives out."""
        with self._lock:
            if self._location is None:
                found = self._client.locate(self._path, self._sha)
                if found.commit_hash != self._sha:
                    raise RevisionNotFoundError(
                        f"{self._client.settings.shown} answered with another commit of {self._client.repo} than "
                        f"{self._sha}; it is not used",
                        self._client.repo,
                    )
                if found.etag != self._like.sha256:
                    raise _WholeOnly(self._path)
                self._location = found.location
            return self._location

    def locate_early(self) -> None:
        """Asks where the bytes are before a piece needs to know; who needs it asks again where this fails."""
        with contextlib.suppress(Exception):
            self.locate()

    def forget(self, location: str) -> None:
        """An address does not hold any more: the next one who asks is given another."""
        with self._lock:
            if self._location == location:
                self._location = None


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


class _Range:
    """One piece, asked for until it is whole: what has come of it is not asked for again."""

    def __init__(self, pieces: Pieces, start: int, stop: int) -> None:
        self._pieces, self._at, self._stop = pieces, start, stop

    def read(self) -> None:
        """Asks for what is left of it."""
        pieces, location = self._pieces, self._pieces.locate()
        came = 0
        if pieces._goes_direct:
            came = pieces._client.piece(location, self._at, self._stop, pieces._part)
            self._count(came)
        if self._at == self._stop:
            return
        with pieces._client.ranged(location, self._at, self._stop) as answer:
            self._check(answer, location)
            with open(pieces._part, "rb+") as part:
                part.seek(self._at)
                for got in answer.iter_raw():
                    if self._at + len(got) > self._stop:
                        raise _WholeOnly(pieces._path)
                    part.write(got)
                    self._count(len(got))
        if self._at < self._stop:
            raise ConnectionError("the body was shorter than the range that was asked for")
        # A way that only the client knows, of a network of its own: the other pieces go it at once.
        pieces._goes_direct = pieces._goes_direct and came > 0

    def _count(self, num_bytes: int) -> None:
        self._at += num_bytes
        if num_bytes:
            self._pieces._progress(num_bytes)

    def _check(self, answer: Any, location: str) -> None:
        from huggingface_hub.utils import hf_raise_for_status

        if answer.status_code == 200:
            raise _WholeOnly(self._pieces._path)
        if answer.status_code in (400, 401, 403) and not self._pieces._client.is_hub(location):
            self._pieces.forget(location)
            raise ConnectionError(f"the place of {self._pieces._path} refuses, as an expired address does")
        if answer.status_code >= 400:
            answer.read()
            hf_raise_for_status(answer)
        said = str(answer.headers.get("Content-Range") or "")
        if answer.status_code != 206 or not said.startswith(f"bytes {self._at}-{self._stop - 1}/"):
            raise _WholeOnly(self._pieces._path)
