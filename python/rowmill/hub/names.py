"""What may be the name of a repository, a revision, or a file that is written here."""

from __future__ import annotations

import os
import re

from rowmill.exceptions import CorruptShardError, DatasetNotFoundError, RevisionNotFoundError
from rowmill.hub_cache import is_repo_name

__all__ = ["check_file_name", "check_repo_name", "check_revision", "is_full_sha", "is_short_sha"]

_FULL = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{7,39}")
# What git refuses in a ref, and what would be another path in a cache.
_NO_REVISION = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(?:^|/)\.|^/|/$|\.lock(?:/|$)")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")


def is_full_sha(revision: str) -> bool:
    """Whether it is a commit's whole name."""
    return _FULL.fullmatch(revision) is not None


def is_short_sha(revision: str) -> bool:
    """Whether it may be the beginning of a commit's name."""
    return _SHORT.fullmatch(revision) is not None


def check_repo_name(repo: str) -> str:
    """A repository's name.

    Raises:
        DatasetNotFoundError: None can be called that, or no file here.
    """
    if not is_repo_name(repo):
        raise DatasetNotFoundError(
            f"{repo!r} is no file or folder here, and no repository can be called that: a data set of the Hub is named "
            "as in 'owner/name'",
            repo,
        )
    return repo


def check_revision(revision: str, repo: str) -> str:
    """A branch, a tag, a ref such as refs/pr/1, or a commit.

    Raises:
        RevisionNotFoundError: None can be called that.
    """
    if not isinstance(revision, str) or not revision or _NO_REVISION.search(revision):
        raise RevisionNotFoundError(
            f"{repo} has no revision {revision!r}: a revision is a branch, a tag, a ref such as refs/pr/1, or a commit",
            repo,
        )
    return revision


def check_file_name(path: str, place: str, *, windows: bool = os.name == "nt") -> str:
    """A file's path inside a repository, which stays inside the folder it is written to.

    Args:
        path: As the repository lists it, with slashes.
        place: The repository, for the message.
        windows: Refuse what Windows takes for a device or cannot write, too.

    Raises:
        CorruptShardError: It would lead elsewhere.
    """
    parts = path.split("/")
    is_bad = (
        not path
        or any(part in ("", ".", "..") for part in parts)
        or "\\" in path
        or any(ord(letter) < 32 or ord(letter) == 127 for letter in path)
        or _DRIVE.match(path) is not None
    )
    if windows and not is_bad:
        is_bad = any(
            _DEVICES.fullmatch(part.rstrip(" .")) or part[-1] in " ." or set(part) & set('<>:"|?*') for part in parts
        )
    if is_bad:
        raise CorruptShardError(
            f"{place} has a file named {path!r}, which cannot be written safely below a folder here, so it is not "
            "fetched. Tell the owner, or choose other files by data_files",
            path,
        )
    return path
