"""Files of repositories that lie in the Hub's cache on this machine: found without the network."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rowmill.exceptions import OfflineError

__all__ = ["cached_repos", "find_in_hub_cache", "hub_cache_folder", "is_repo_name"]

# "name" or "owner/name"; no part begins with a dot, so that none leads out of the cache.
_REPO = re.compile(r"(?:[A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_][\w.-]*", re.ASCII)


def is_repo_name(name: str) -> bool:
    """Whether a repository may be called that."""
    return _REPO.fullmatch(name) is not None and ".." not in name and "--" not in name


def hub_cache_folder() -> Path:
    """Where ``huggingface_hub`` keeps what it downloads: the same variables, in the same order."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if chosen := os.environ.get(variable):
            return Path(os.path.expandvars(chosen)).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(home)).expanduser() / "hub"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


def cached_repos(kind: str, file: str = "") -> list[str]:
    """Names of the repositories of a kind ("datasets", "models") in the Hub's cache that have ``file``, or any file."""
    found = [path for path in hub_cache_folder().glob(f"{kind}--*") if next(path.glob(f"snapshots/*/{file}"), None)]
    return sorted(path.name.removeprefix(f"{kind}--").replace("--", "/") for path in found)


def find_in_hub_cache(repo: str, file: str, *, revision: str = "main") -> Path:
    """A model repository's file, as the cache has it for a revision.

    Raises:
        OfflineError: The cache does not have it; the message has the command that downloads it.
    """
    folder = hub_cache_folder() / f"models--{repo.replace('/', '--')}"
    try:
        commit = (folder / "refs" / revision).read_text().strip()
    except OSError:
        commit = revision
    path = folder / "snapshots" / commit / file
    if not is_repo_name(commit) or not path.is_file():
        raise OfflineError(
            f"{repo!r} is no file or folder here, and the Hub's cache ({folder.parent}) has no {file} of a repository "
            f"of that name; this downloads it: hf download {repo} --include '*token*.json'",
            repo,
        )
    return path
