"""What is asked of the Hub, through ``huggingface_hub``: patiently, with the same few requests each time."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rowmill.exceptions import CorruptShardError, OfflineError, RevisionNotFoundError
from rowmill.hub.answers import as_typed, is_passing, root_of, status_of
from rowmill.hub.listing import HubFile, Listing, hash_of
from rowmill.hub.names import check_file_name, is_full_sha
from rowmill.hub.settings import Settings

__all__ = ["Client", "patiently"]

T = TypeVar("T")

NUM_TRIES = 6
# Seconds after which nothing is asked again: the client itself waits within some requests.
MOST_SECONDS = 600.0
# Seconds; doubled after each try, so that a Hub that restarts is waited for half a minute. The longest is the window in
# which the Hub counts requests.
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
_TOLD_FROM = 5.0
_OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENAMETOOLONG
)  # fmt: skip
_log = logging.getLogger("rowmill.hub")


class Client:
    """Asks for one repository; every refusal comes out as one of rowmill's errors, without a secret in it.

    Raises:
        OfflineError: The settings are offline.
        ImportError: ``huggingface_hub`` is missing.
    """

    def __init__(self, repo: str, settings: Settings, kind: str = "dataset") -> None:
        if settings.is_offline:
            raise OfflineError(f"{repo} is not asked for, because the network is off", repo)
        try:
            from huggingface_hub import HfApi
        except ImportError:
            raise ImportError(f"{repo} comes from the Hub: pip install 'rowmill[hub]' brings huggingface_hub") from None
        self.repo, self.settings, self.kind = repo, settings, kind
        self._api = HfApi(endpoint=settings.endpoint, token=settings.token, library_name="rowmill")

    def commit_of(self, revision: str) -> str:
        """The commit that a revision is now; one request."""
        info = self._ask(lambda: self._api.repo_info(self.repo, repo_type=self.kind, revision=revision), revision)
        sha = getattr(info, "sha", None)
        if not isinstance(sha, str) or not is_full_sha(sha):
            raise RevisionNotFoundError(
                f"{self.settings.shown} does not say which commit {revision!r} of {self.repo} is; it may be no Hub",
                self.repo,
            )
        return sha

    def commits(self) -> list[str]:
        """The commits of main, the newest first."""
        listed = self._ask(lambda: self._api.list_repo_commits(self.repo, repo_type=self.kind), "main")
        return [commit.commit_id for commit in listed]

    def listing(self, sha: str) -> Listing:
        """The files of a commit; one request for a thousand of them."""

        def ask() -> list[Any]:
            return list(self._api.list_repo_tree(self.repo, repo_type=self.kind, revision=sha, recursive=True))

        return {item.path: _file(item) for item in self._ask(ask, sha) if hasattr(item, "blob_id")}

    def fetch(self, path: str, like: HubFile, sha: str, progress: Callable[[int], None] | None = None) -> str:
        """Downloads a file of a commit into the Hub's cache; returns where it is.

        Its size and hash are compared with those of the tree; what differs is fetched once more and then refused.
        """
        check_file_name(path, self.repo)
        for is_again in (False, True):
            local = self._ask(lambda again=is_again: self._download(path, sha, again, progress), sha)  # type: ignore[misc]
            if f"{os.sep}{sha}{os.sep}" not in local:
                raise RevisionNotFoundError(
                    f"{self.settings.shown} answered with another commit of {self.repo} than {sha}; it is not used",
                    self.repo,
                )
            if os.path.getsize(local) == like.size and hash_of(local, like) == (like.sha256 or like.blob_id):
                return local
            _forget(local)
        raise CorruptShardError(
            f"{path} of {self.repo} at {sha} came twice with other bytes than the tree promises, and was removed. "
            "Try again later, or without the proxy or mirror in between",
            path,
        )

    def link(self, path: str, sha: str) -> str:
        """Makes a commit's file lead to its blob, which is in the Hub's cache; returns where it is."""
        return self._ask(lambda: self._download(path, sha, False, None), sha)

    def locate(self, path: str, sha: str) -> Any:
        """What the Hub says of a file: ``location``, ``etag`` and ``commit_hash``."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(self.repo, path, repo_type=self.kind, revision=sha, endpoint=self.settings.endpoint)
        return get_hf_file_metadata(url, token=self.settings.token, library_name="rowmill")

    def ranged(self, location: str, start: int, stop: int) -> Any:
        """A context whose answer is a range of what lies at an address; only the Hub is shown the token."""
        from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT
        from huggingface_hub.utils import get_session

        headers = self._headers(location)
        headers |= {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        return get_session().stream("GET", location, headers=headers, timeout=HF_HUB_DOWNLOAD_TIMEOUT)

    def piece(self, location: str, start: int, stop: int, path: Path) -> int:
        """The same into its place in a file, asked for in Rust; how many bytes came, which may be none.

        It takes a fifth of the processor, asks once, and says no more of a refusal: ``ranged`` does.
        """
        from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT

        from rowmill import _rust

        said = list(self._headers(location).items())
        return _rust.fetch_piece(location, said, start, stop, path, float(HF_HUB_DOWNLOAD_TIMEOUT))

    def _headers(self, location: str) -> dict[str, str]:
        from huggingface_hub.utils import build_hf_headers

        token = self.settings.token if self.is_hub(location) else False
        return dict(build_hf_headers(token=token, library_name="rowmill"))

    def is_hub(self, url: str) -> bool:
        """Whether an address is the Hub's own, and no other origin's."""
        return urlsplit(url)[:2] == urlsplit(self.settings.endpoint)[:2]

    def asked(self, call: Callable[[], T], revision: str) -> T:
        """What ``call`` returns, asked patiently; its refusals as rowmill's errors."""
        return self._ask(call, revision)

    def _download(self, path: str, sha: str, is_again: bool, progress: Callable[[int], None] | None) -> str:
        from huggingface_hub import hf_hub_download

        # Older clients show a bar of their own.
        takes_bar = "tqdm_class" in inspect.signature(hf_hub_download).parameters
        try:
            local = hf_hub_download(
                self.repo,
                path,
                repo_type=self.kind,
                revision=sha,
                cache_dir=self.settings.hub_cache,
                endpoint=self.settings.endpoint,
                token=self.settings.token,
                library_name="rowmill",
                force_download=is_again,
                **({"tqdm_class": _silent(progress)} if takes_bar else {}),
            )
        except Exception as error:
            if getattr(error, "errno", None) == errno.ENAMETOOLONG:
                raise OSError(
                    errno.ENAMETOOLONG,
                    f"a name of {self.repo}@{sha} is too long for {self.settings.hub_cache}; choose other files by "
                    "data_files (or `rowmill download --exclude`), or another folder by HF_HOME or cache_dir",
                    path,
                ) from None
            if status_of(error) not in (400, 401, 403) or self._is_of_hub(error):
                raise
            # A signed address that does not hold any more; asking the Hub again gives another.
            raise ConnectionError(f"the place of {path} refuses, which an expired address is a reason for") from None
        return str(local)

    def _is_of_hub(self, error: BaseException) -> bool:
        url = str(getattr(getattr(error, "response", None), "url", ""))
        return not url or url.startswith(f"{self.settings.endpoint}/")

    def _ask(self, ask: Callable[[], T], revision: str) -> T:
        try:
            return patiently(ask)
        except ImportError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
                raise
            # What it says may hold a signed URL: only what as_typed takes of it is told.
            typed = as_typed(root_of(error), self.repo, self.settings, revision)
        raise typed


def _file(item: Any) -> HubFile:
    # The oldest clients know nothing of Xet.
    sha256 = item.lfs.sha256 if item.lfs else None
    return HubFile(item.size, item.blob_id, sha256, getattr(item, "xet_hash", None))


def patiently(ask: Callable[[], T]) -> T:
    """Asks again after what passes: busy servers, cut connections.

    It waits as long as the server says, else twice as long each time, by half at random.

    Raises:
        Exception: The last error, or the first that does not pass.
    """
    begun = time.monotonic()
    for attempt in range(NUM_TRIES):
        try:
            return ask()
        except Exception as error:
            reason = root_of(error)
            is_last = attempt + 1 == NUM_TRIES or time.monotonic() - begun > MOST_SECONDS
            if is_last or not is_passing(reason):
                raise
            wait = _asked_wait(reason)
        if wait is None:
            wait = FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.0)
        wait = min(wait, LONGEST_WAIT)
        if wait >= _TOLD_FROM:
            _log.warning("the Hub is busy (%s); it is asked again in %.0f s", status_of(reason) or "no answer", wait)
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _asked_wait(error: BaseException) -> float | None:
    """Seconds that the server asks for, by Retry-After or, when it is busy, by RateLimit."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    said = str(headers.get("Retry-After") or "").strip()
    if said.isdigit():
        return float(said) + random.uniform(0.0, 0.1)
    for part in str(headers.get("RateLimit") or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == "t" and value.isdigit() and status_of(error) == 429:
            return float(value) + random.uniform(0.0, 0.1)
    return None


def _forget(local: str) -> None:
    """Removes what came damaged, so that nobody takes it for the file."""
    for path in {os.path.realpath(local), local}:
        if os.path.lexists(path):
            os.remove(path)


def _silent(progress: Callable[[int], None] | None) -> Any:
    """A bar that shows nothing and counts: several files come at once."""
    from huggingface_hub.utils.tqdm import tqdm

    lock = threading.Lock()

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if progress is not None:
                with lock:
                    progress(int(n or 0))
            return None

    return Silent
