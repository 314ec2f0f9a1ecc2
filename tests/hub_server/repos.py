"""Repositories: commits named by what they hold, and the branches, tags and pull requests that point at them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hub_server.blobs import Entry, git_oid, make_entry

# "main", "v1.0", "feature/x"; the others begin with refs/.
_SHA = re.compile(r"[0-9a-f]{7,40}")
_FIRST_SECOND = 1_700_000_000


@dataclass(frozen=True)
class Commit:
    sha: str
    files: Mapping[str, Entry]
    parent: str | None
    message: str
    second: int


@dataclass
class Repo:
    """One repository.

    Attributes:
        visitors: Users that see it although it is private, beside its owner.
        approved: Users that were let through its gate.
    """

    id: str
    kind: str = "dataset"
    private: bool = False
    gated: str | bool = False
    visitors: set[str] = field(default_factory=set)
    approved: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    num_pull_requests: int = 0

    def __post_init__(self) -> None:
        self._add(Commit("", {}, None, "initial commit", _FIRST_SECOND), "refs/heads/main")

    @property
    def owner(self) -> str:
        return self.id.rpartition("/")[0]

    @property
    def sha(self) -> str:
        """Where main stands."""
        return self.refs["refs/heads/main"]

    def commit(
        self,
        files: Mapping[str, bytes | str | Path] | None = None,
        *,
        delete: Iterable[str] = (),
        branch: str = "main",
        message: str = "a commit",
        entries: Mapping[str, Entry] | None = None,
    ) -> str:
        """Adds files to a branch (``refs/...`` for others than branches); returns the commit's sha."""
        added = {path: make_entry(path, content) for path, content in (files or {}).items()}
        ref = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
        parent = self.commits[self.refs[ref]]
        gone = tuple(delete)
        kept = {
            path: entry
            for path, entry in parent.files.items()
            if not any(path == name or path.startswith(f"{name.rstrip('/')}/") for name in gone)
        }
        tree = {**kept, **added, **(entries or {})}
        return self._add(Commit("", tree, parent.sha, message, parent.second + 60), ref)

    def commit_folder(self, folder: Path, **how: str) -> str:
        """Adds the files of a folder, which stay where they are."""
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        return self.commit(files, **how)

    def _add(self, commit: Commit, ref: str) -> str:
        tree = "".join(f"{entry.oid} {path}\n" for path, entry in sorted(commit.files.items()))
        text = f"{self.kind} {self.id}\n{commit.parent}\n{commit.second}\n{commit.message}\n{tree}"
        sha = git_oid(text.encode(), "commit")
        self.commits[sha] = Commit(sha, commit.files, commit.parent, commit.message, commit.second)
        self.refs[ref] = sha
        return sha

    def branch(self, name: str, sha: str | None = None) -> None:
        self.refs[f"refs/heads/{name}"] = sha or self.sha

    def tag(self, name: str, sha: str | None = None) -> None:
        self.refs[f"refs/tags/{name}"] = sha or self.sha

    def convert(self, files: Mapping[str, bytes | str | Path], name: str = "parquet") -> str:
        """What the Hub's own converter leaves in ``refs/convert/...``."""
        ref = f"refs/convert/{name}"
        self.refs.setdefault(ref, next(iter(self.commits)))
        return self.commit(files, branch=ref, message="converted")

    def pull_request(self, sha: str | None = None) -> str:
        """Opens a pull request on a commit; returns its ref, to which ``commit`` adds."""
        self.num_pull_requests += 1
        ref = f"refs/pr/{self.num_pull_requests}"
        self.refs[ref] = sha or self.sha
        return ref

    def find(self, revision: str, *, short: bool = True) -> Commit | None:
        """The commit of a branch, tag, ref, sha or (where the server takes them) short sha."""
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        if revision in self.commits:
            return self.commits[revision]
        if not short or not _SHA.fullmatch(revision):
            return None
        found = [sha for sha in self.commits if sha.startswith(revision)]
        return self.commits[found[0]] if len(found) == 1 else None

    def history(self, commit: Commit) -> Iterator[Commit]:
        """The commit and those before it."""
        at: Commit | None = commit
        while at is not None:
            yield at
            at = self.commits.get(at.parent or "")
