"""What the Hub's refusals, and the network's, mean here: typed errors that say what to do and show no secret."""

from __future__ import annotations

import difflib
import re
from typing import Any

from rowmill.exceptions import (
    AccessDeniedError,
    CorruptShardError,
    DatasetNotFoundError,
    MissingShardError,
    OfflineError,
    RevisionNotFoundError,
    RowmillError,
)
from rowmill.hub.cached import cached_repos
from rowmill.hub.settings import Settings

__all__ = ["as_typed", "is_passing", "nearest", "root_of", "scrub", "status_of"]

_PASSING = (408, 425, 429, 500, 502, 503, 504)
_NETWORK = ("httpx", "httpcore", "requests", "urllib3")
_QUERY = re.compile(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]*")
_USER = re.compile(r"(https?://)[^\s/@]+@")
# The names of variables, HF_TOKEN and the like, are no secrets.
_BEARER = re.compile(r"(?i:bearer\s+)[^\s,;]+|\bhf_\w{4,}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def scrub(text: str, settings: Settings) -> str:
    """A text without tokens and without the queries of URLs, which may be signatures."""
    if isinstance(settings.token, str) and settings.token:
        text = text.replace(settings.token, "***")
    return _USER.sub(r"\1", _QUERY.sub(r"\1", _BEARER.sub("***", text)))


def root_of(error: BaseException) -> BaseException:
    """What the Hub said, where ``huggingface_hub`` says instead that something is not in its cache."""
    if "LocalEntryNotFoundError" in _names(error) and error.__cause__ is not None:
        return error.__cause__
    return error


def _names(error: BaseException) -> set[str]:
    return {one.__name__ for one in type(error).__mro__}


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an answer; None where none came."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_network(error: BaseException) -> bool:
    return status_of(error) is None and (
        type(error).__module__.split(".")[0].rstrip("2") in _NETWORK
        or isinstance(error, ConnectionError | TimeoutError)
    )


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if "OfflineModeIsEnabled" in _names(error):
        return False
    # A body that is shorter than its headers promise is an OSError of the client's own.
    return status_of(error) in _PASSING or _is_network(error) or "Consistency check failed" in str(error)


def nearest(repo: str, settings: Settings) -> str:
    """A sentence with the names in the cache that are like this one; empty without any."""
    others = [name for name in cached_repos(settings) if name != repo]
    found = difflib.get_close_matches(repo, others, n=3, cutoff=0.5)
    return f" The cache has {', '.join(found)}." if found else ""


def as_typed(error: BaseException, repo: str, settings: Settings, revision: str | None = None) -> RowmillError:
    """The error that a caller sees for ``error``, which asking for something of ``repo`` ended in."""
    if isinstance(error, RowmillError):
        return error
    names, status, page = _names(error), status_of(error), f"{settings.shown}/datasets/{repo}"
    if "LocalTokenNotFoundError" in names:
        return AccessDeniedError(
            f"token=True wants the token of this user for {repo}, and there is none: log in with `hf auth login`, set "
            "HF_TOKEN, or give the token itself by token=",
            repo,
        )
    if "GatedRepoError" in names:
        return AccessDeniedError(
            f"{repo} is gated: ask for access on {page}, then log in with `hf auth login` (or set HF_TOKEN, or pass "
            f"token=) as the user who has it",
            repo,
        )
    if "RevisionNotFoundError" in names:
        return RevisionNotFoundError(
            f"{repo} has no revision {revision or 'main'!r}; no other one is taken instead. Its revisions are listed "
            f"on {page}/commits/main",
            repo,
        )
    if "EntryNotFoundError" in names:
        return MissingShardError(f"{repo} has no such file at {revision}: {_short(error, settings)}", repo)
    if "RepositoryNotFoundError" in names:
        return DatasetNotFoundError(
            f"{repo} is no file or folder here and no data set that {settings.shown} shows: there is none of that "
            "name, or it is private and needs `hf auth login`, HF_TOKEN or token= of somebody who may see it."
            + nearest(repo, settings),
            repo,
        )
    return _of_status(error, repo, settings, status)


def _of_status(error: BaseException, repo: str, settings: Settings, status: int | None) -> RowmillError:
    if status == 401:
        return AccessDeniedError(
            f"{settings.shown} does not accept the token that was sent for {repo}: log in again with "
            "`hf auth login`, or correct HF_TOKEN or token=",
            repo,
        )
    if status == 403:
        return AccessDeniedError(
            f"{settings.shown} refuses {repo} to this user: {_short(error, settings)}; ask its owner for access, or "
            "use a token that has it",
            repo,
        )
    if "OfflineModeIsEnabled" in _names(error):
        return OfflineError(f"{repo} cannot be asked for: huggingface_hub is offline (HF_HUB_OFFLINE)", repo)
    if status is not None and not is_passing(error):
        return OfflineError(
            f"{settings.shown} answered with status {status} for {repo}: {_short(error, settings)}; if it is a mirror "
            "or behind a proxy, ask the Hub itself (HF_ENDPOINT)",
            repo,
        )
    if is_passing(error):
        return OfflineError(
            f"{settings.shown} could not be reached for {repo}: {_short(error, settings)}; try again, or pass "
            "offline=True to use what the cache has",
            repo,
        )
    return CorruptShardError(
        f"what {settings.shown} answers for {repo} cannot be used: {_short(error, settings)}; try again, or without "
        "the proxy or mirror in between (HF_ENDPOINT)",
        repo,
    )


def _short(error: BaseException, settings: Settings) -> str:
    said: Any = getattr(error, "server_message", None) or str(error) or type(error).__name__
    # A server's text must not steer the terminal that shows it.
    lines = [_CONTROL.sub("", line).strip() for line in scrub(str(said), settings).splitlines()]
    lines = [line for line in lines if line]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}"
