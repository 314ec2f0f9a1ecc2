"""What lies in the caches of the clients: repositories, commits, refs, and Arrow files that ``datasets`` made."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rowmill.hub.names import is_full_sha
from rowmill.hub.settings import Settings

__all__ = ["arrow_files", "cached_commits", "cached_ref", "cached_repos", "repo_folder"]

_SHARD = re.compile(r"(?P<split>\w+(?:\.\w+)*?)(?:-(?P<number>\d{5})-of-(?P<of>\d{5}))?\.arrow")


def repo_folder(repo: str, settings: Settings, kind: str = "dataset") -> Path:
    """Where ``huggingface_hub`` keeps a repository."""
    return settings.hub_cache / f"{kind}s--{repo.replace('/', '--')}"


def cached_repos(settings: Settings) -> list[str]:
    """Names of the data sets that either cache has something of."""
    names = {name.removeprefix("datasets--").replace("--", "/") for name in _names(settings.hub_cache, "datasets--")}
    made = {name.replace("___", "/") for name in _names(settings.datasets_cache, "") if "___" in name}
    return sorted(names | made)


def _names(folder: Path, prefix: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.startswith(prefix)]
    except OSError:
        return []


def cached_ref(folder: Path, revision: str) -> str | None:
    """The commit that a branch, tag or ref stood at when a client last looked."""
    try:
        sha = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return sha if is_full_sha(sha) else None


def cached_commits(repo: str, folder: Path, settings: Settings) -> list[str]:
    """Commits of which either cache has something."""
    found = {name for name in _names(folder / "snapshots", "") if is_full_sha(name)}
    found |= {name.removesuffix(".json") for name in _names(folder / "trees", "") if name.endswith(".json")}
    found |= {path.name for path in _made(repo, settings).glob("*/*/*") if is_full_sha(path.name)}
    return sorted(name for name in found if is_full_sha(name))


def _made(repo: str, settings: Settings) -> Path:
    """Where ``datasets`` keeps what it made of a repository."""
    owner, _, name = repo.rpartition("/")
    # As it writes names in file names.
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name).lower()
    return settings.datasets_cache / (f"{owner}___{name}" if owner else name)


def arrow_files(repo: str, config: str, sha: str, split: str, settings: Settings) -> list[str] | None:
    """The Arrow files of a split that ``datasets`` made at this very commit, all of them; None where it did not."""
    for folder in sorted(_made(repo, settings).glob(f"{config}/*/{sha}")):
        if not (folder / "dataset_info.json").is_file():
            continue
        shards = {}
        for name in _names(folder, ""):
            # The name of the data set, a dash, the split; no result of map or filter.
            found = _SHARD.fullmatch(name.partition("-")[2])
            if found and found["split"] == split and not name.startswith(("cache-", "tmp")):
                shards[int(found["number"] or 0)] = (int(found["of"] or 1), str(folder / name))
        if shards and sorted(shards) == list(range(len(shards))) and {of for of, _ in shards.values()} == {len(shards)}:
            return [shards[number][1] for number in sorted(shards)]
    return None
