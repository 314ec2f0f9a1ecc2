"""Where the Hub is, where its clients keep files, and whether the network may be asked: their variables, our arguments.

Variables are read at each call, not at import as the clients do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rowmill.exceptions import AccessDeniedError, OfflineError
from rowmill.folders import cache_folder
from rowmill.hub_cache import hub_cache_folder

__all__ = ["Settings", "check_online", "find_settings"]

_YES = ("1", "ON", "YES", "TRUE")


@dataclass(frozen=True)
class Settings:
    """How the Hub is reached.

    Attributes:
        endpoint: Its address, or a mirror's.
        hub_cache: Where ``huggingface_hub`` keeps repositories.
        datasets_cache: Where ``datasets`` keeps what it has made Arrow files of.
        is_offline: Whether nothing may be asked.
        token: What a caller gave: a token, False for none, or None for the user's own. No text shows it.
    """

    endpoint: str
    hub_cache: Path
    datasets_cache: Path
    is_offline: bool
    token: str | bool | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """The endpoint as texts show it: without what some put before its host."""
        scheme, separator, rest = self.endpoint.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"

    @property
    def records(self) -> Path:
        """Where rowmill keeps what processes share."""
        return cache_folder() / "hub"


def find_settings(
    *,
    token: str | bool | None = None,
    offline: bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Settings:
    """From arguments and, where they are None, from the environment.

    Args:
        token: For private and gated repositories.
        offline: True for no request at all.
        cache_dir: The folder that both clients would be given by that name.

    Raises:
        AccessDeniedError: No token can look like the one that was given.
    """
    token = _checked(token)
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if offline is None:
        offline = any(_is_on(name) for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")) or _is_switched_off()
    if cache_dir is not None:
        folder = Path(cache_dir).expanduser().absolute()
        return Settings(endpoint.rstrip("/"), folder, folder, offline, token)
    return Settings(endpoint.rstrip("/"), hub_cache_folder().absolute(), _datasets_cache(), offline, token)


def check_online(urls: Iterable[str]) -> None:
    """Raises OfflineError where one of these is an address of the Hub, and the network is off; nothing is asked."""
    settings = find_settings()
    if not settings.is_offline:
        return
    for url in urls:
        if url.startswith(f"{settings.endpoint}/"):
            shown = url.split("?")[0].replace(settings.endpoint, settings.shown, 1)
            raise OfflineError(
                f"the network is off (HF_HUB_OFFLINE or HF_DATASETS_OFFLINE), and {shown} is an address of the Hub; "
                "rowmill.load_dataset and hf://datasets/... read what its cache holds",
                shown,
            )


def _checked(token: str | bool | None) -> str | bool | None:
    """A token without the blanks around it that a file or a paste leaves; the text of the error does not show it."""
    if not isinstance(token, str):
        return token
    token = token.strip()
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise AccessDeniedError(
            "token= is no token of the Hub, which is letters, digits and signs without blanks; give it as "
            "`hf auth token` prints it, or leave it out"
        )
    return token


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").upper() in _YES


def _is_switched_off() -> bool:
    """Whether ``huggingface_hub`` was imported in a process that was offline then: it would refuse."""
    constants = sys.modules.get("huggingface_hub.constants")
    return bool(getattr(constants, "HF_HUB_OFFLINE", False))


def _datasets_cache() -> Path:
    if chosen := os.environ.get("HF_DATASETS_CACHE"):
        return Path(os.path.expandvars(chosen)).expanduser().absolute()
    if home := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(home)).expanduser().absolute() / "datasets"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "huggingface" / "datasets"
