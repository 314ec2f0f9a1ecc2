"""From a revision to one commit, or to an error: never to another revision."""

from __future__ import annotations

import logging
from pathlib import Path

from rowmill.exceptions import OfflineError, RevisionNotFoundError
from rowmill.hub.answers import nearest
from rowmill.hub.cached import cached_commits, cached_ref, repo_folder
from rowmill.hub.client import Client
from rowmill.hub.names import check_revision, is_full_sha, is_short_sha
from rowmill.hub.records import record_path, share_answer
from rowmill.hub.settings import Settings

__all__ = ["find_commit"]

_log = logging.getLogger("rowmill.hub")


def find_commit(repo: str, revision: str | None, settings: Settings, kind: str = "dataset") -> str:
    """The commit that a branch, tag, ref, sha or the beginning of a sha is.

    A whole sha is taken as it is, without a request; anything else is asked for once, and offline it is what the
    clients' cache knows.

    Raises:
        RevisionNotFoundError: There is none.
        DatasetNotFoundError: There is no such repository.
        OfflineError: Nothing of the repository is here, and nothing may be asked; or the Hub cannot be reached.
    """
    wanted = check_revision("main" if revision is None else revision, repo)
    folder = repo_folder(repo, settings, kind)
    if settings.is_offline:
        sha = _find_cached(repo, wanted, folder, settings)
    elif is_full_sha(wanted):
        sha = wanted
    else:
        sha = _find_online(repo, wanted, folder, settings, kind)
    if sha != wanted:
        _log.info("%s: %s is commit %s", repo, wanted, sha)
    return sha


def _find_online(repo: str, revision: str, folder: Path, settings: Settings, kind: str) -> str:
    record = record_path(settings.records / "revisions", settings.endpoint, kind, repo, revision, str(folder))
    try:
        sha = share_answer(record, lambda: _ask(repo, revision, settings, kind))
    except OfflineError as error:
        known = cached_ref(folder, revision)
        if known is None:
            raise
        raise OfflineError(
            f"{error.message} (which knows {revision} as commit {known}; revision={known!r} asks for nothing)", repo
        ) from None
    _keep_ref(folder, revision, sha)
    return sha


def _ask(repo: str, revision: str, settings: Settings, kind: str) -> str:
    client = Client(repo, settings, kind)
    try:
        return client.commit_of(revision)
    except RevisionNotFoundError:
        if not is_short_sha(revision):
            raise
        return _complete(repo, revision, client.commits())


def _complete(repo: str, beginning: str, commits: list[str]) -> str:
    found = [sha for sha in commits if sha.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    if found:
        raise RevisionNotFoundError(f"{repo} has several commits that begin with {beginning}: {', '.join(found)}", repo)
    raise RevisionNotFoundError(f"{repo} has no revision {beginning!r}, and no commit that begins so", repo)


def _keep_ref(folder: Path, revision: str, sha: str) -> None:
    """Notes what a ref is now, where ``huggingface_hub`` does: offline it is what the ref was last."""
    path = folder / "refs" / revision
    # The beginning of a sha is no ref, and one that only looks so is.
    if sha.startswith(revision) or cached_ref(folder, revision) == sha:
        return
    part = path.with_name(f"{path.name}.{sha[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(sha, encoding="utf-8")
        part.replace(path)
    except OSError:
        _log.debug("%s cannot be written", path)


def _find_cached(repo: str, revision: str, folder: Path, settings: Settings) -> str:
    commits = cached_commits(repo, folder, settings)
    if not commits:
        raise OfflineError(
            f"{repo} is not in the cache ({settings.hub_cache}), and the network is off.{nearest(repo, settings)} "
            f"Where there is a network, this fetches it: hf download {repo} --repo-type dataset",
            repo,
        )
    sha = cached_ref(folder, revision)
    if sha is None and revision in commits:
        sha = revision
    if sha is None and is_short_sha(revision):
        sha = _complete(repo, revision, commits)
    if sha is None:
        raise RevisionNotFoundError(
            f"{repo} has no revision {revision!r} in the cache, and the network is off; no other one is taken instead. "
            f"The cache has {', '.join(commits)}. Where there is a network, this fetches it: "
            f"hf download {repo} --repo-type dataset --revision {revision}",
            repo,
        )
    return sha
