"""What changes a repository of the Hub: making it, uploading objects, one commit, a tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rowmill.exceptions import StateMismatchError
from rowmill.hub.answers import as_typed, is_passing, root_of, status_of
from rowmill.hub.client import Client, patiently
from rowmill.hub.layout import Tree
from rowmill.hub.listing import HubFile, Listing, hash_of
from rowmill.hub.settings import Settings

__all__ = ["Upload", "Writer", "missing"]


@dataclass
class Upload:
    """A file that is to be in the repository.

    Attributes:
        path: Where.
        source: The file here, or its content.
        num_rows: Rows of a shard; None for other files.
    """

    path: str
    source: Path | bytes
    num_rows: int | None = None
    operation: Any = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    def is_at(self, there: HubFile | None) -> bool:
        """Whether the repository has just this file."""
        if there is None or there.size != self.size:
            return False
        return _hash(self.source, there) == (there.sha256 or there.blob_id)


def _hash(source: Path | bytes, like: HubFile) -> str:
    import hashlib

    if isinstance(source, Path):
        return hash_of(source, like)
    if like.sha256 is not None:
        return hashlib.sha256(source).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(source) + source, usedforsecurity=False).hexdigest()


class Writer(Client):
    """Asks for changes of one data set; refusals are rowmill's errors, without a secret in them."""

    def __init__(self, repo: str, settings: Settings) -> None:
        super().__init__(repo, settings)

    def make(self, *, private: bool) -> None:
        """Makes the repository where there is none."""
        self._ask(lambda: self._api.create_repo(self.repo, repo_type=self.kind, private=private, exist_ok=True), "main")

    def is_private(self) -> bool:
        """Whether only its owner sees it."""
        return bool(self._ask(lambda: self._api.repo_info(self.repo, repo_type=self.kind), "main").private)

    def tags(self) -> dict[str, str]:
        """The commits of the tags."""
        refs = self._ask(lambda: self._api.list_repo_refs(self.repo, repo_type=self.kind), "main")
        return {tag.name: tag.target_commit for tag in refs.tags}

    def upload(self, file: Upload, revision: str) -> None:
        """Uploads a file's object, if it goes to large storage and is not there; no commit names it yet."""
        from huggingface_hub import CommitOperationAdd

        def ask() -> None:
            file.operation = CommitOperationAdd(file.path, file.source)
            try:
                self._api.preupload_lfs_files(self.repo, [file.operation], repo_type=self.kind, revision=revision)
            except RuntimeError as error:
                # The client says only which file; why is what counts.
                raise error.__cause__ or error from None
            except ConnectionError as error:
                if "xet" not in str(error).lower() or not _leave_xet():
                    raise
                ask()

        self._ask(ask, revision)

    def commit(self, files: Sequence[Upload], gone: Sequence[str], *, parent: str, branch: str, message: str) -> str:
        """One commit of files that were uploaded and of those that go, on ``parent``; returns its sha.

        A Hub that is busy is asked again. Since the commit names its parent it cannot happen twice: one whose answer
        was lost is found in the tree.

        Raises:
            StateMismatchError: The branch has moved on since.
        """
        from huggingface_hub import CommitOperationDelete

        operations = [*(file.operation for file in files), *(CommitOperationDelete(path) for path in gone)]

        def ask() -> str:
            try:
                made = self._api.create_commit(
                    self.repo,
                    operations,
                    commit_message=message,
                    repo_type=self.kind,
                    revision=branch,
                    parent_commit=parent,
                )
            except Exception as error:
                reason = root_of(error)
                # Nothing was done by a Hub that said that it is too busy; after any other silence it may have been.
                is_open = status_of(reason) == 412 or (is_passing(reason) and status_of(reason) != 429)
                if not is_open or (sha := self._arrived(files, gone, parent, branch)) is None:
                    raise
                return sha
            return str(made.oid)

        try:
            return patiently(ask)
        except Exception as error:
            if status_of(root_of(error)) == 412:
                typed: Exception = StateMismatchError(
                    f"somebody else has changed {branch} of {self.repo} meanwhile, and nothing was committed; give the "
                    "same command again: what was uploaded is not uploaded twice",
                    self.repo,
                )
            else:
                typed = as_typed(root_of(error), self.repo, self.settings, branch)
        raise typed

    def _arrived(self, files: Sequence[Upload], gone: Sequence[str], parent: str, branch: str) -> str | None:
        """The commit at the end of a branch if it is another one than ``parent`` and holds what was sent."""
        sha = self.commit_of(branch)
        if sha == parent:
            return None
        there = self.listing(sha)
        return None if missing(files, there) or any(path in there for path in gone) else sha

    def tag(self, name: str, sha: str) -> None:
        """Gives a commit a name."""
        self._ask(
            lambda: self._api.create_tag(self.repo, tag=name, revision=sha, repo_type=self.kind, exist_ok=True), sha
        )

    def remote_file(self, path: str, sha: str) -> Any:
        """A file of a commit, opened for reading in ranges; a block is kept."""
        from huggingface_hub import HfFileSystem

        system = HfFileSystem(endpoint=self.settings.endpoint, token=self.settings.token, skip_instance_cache=True)
        return self._ask(lambda: system.open(f"datasets/{self.repo}@{sha}/{path}", "rb", block_size=1 << 20), sha)

    def footer(self, path: str, sha: str) -> Any:
        """What the end of a Parquet file says, as pyarrow's ``FileMetaData``."""
        import pyarrow.parquet as pq

        with self.remote_file(path, sha) as file:
            return pq.read_metadata(file)

    def read(self, path: str, sha: str) -> bytes:
        """A small file of a commit."""
        with self.remote_file(path, sha) as file:
            return bytes(file.read())

    def tree(self, sha: str, listing: Listing) -> Tree:
        """A commit as its readers see it: the files, and the texts that say how they are meant."""
        notes = [
            self.read(name, sha).decode("utf-8", "replace") if name in listing else None
            for name in ("README.md", ".huggingface.yaml")
        ]
        return Tree(self.repo, list(listing), *notes)


def _leave_xet() -> bool:
    """Makes the client upload as to a Hub without Xet (a mirror, a test), which it does not find out itself.

    Returns:
        Whether it did not so before.
    """
    from huggingface_hub import constants

    was_used = not constants.HF_HUB_DISABLE_XET
    # Read by the client at each upload.
    constants.HF_HUB_DISABLE_XET = True
    return was_used


def missing(files: Iterable[Upload], there: Listing) -> list[Upload]:
    """The files that a tree does not have as they are."""
    return [file for file in files if not file.is_at(there.get(file.path))]
