"""What is said to which server, by origin: never in a pickle, a manifest, a cursor or an error.

A dataset carries only *where* a token is found ("env:NAME", "file:PATH", "hub"); every process that opens it looks
there itself.
"""

from __future__ import annotations

import base64
import netrc
import os
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from rowmill import _rust
from rowmill.exceptions import AccessDeniedError
from rowmill.remote.urls import origin_of

__all__ = ["Places", "apply", "default_places", "set_headers", "set_token"]

# (origin, where its token is found)
Places = tuple[tuple[str, str], ...]

_given: set[str] = set()
# Of these, what calls brought for themselves.
_lent: set[str | None] = set()


def set_token(origin: str, token: str | None) -> None:
    """Sends ``Authorization: Bearer TOKEN`` to servers of an origin, in this process; None takes it back.

    Other origins never see it, also where the server redirects to them. Workers that are forked have it too; those that
    are spawned look where ``credentials`` of :func:`rowmill.remote.open_files` says, or into ``~/.netrc``.

    Args:
        origin: ``https://host``, or any URL there.
        token: The token.
    """
    set_headers(origin, {} if token is None else {"authorization": f"Bearer {token}"})


def set_headers(origin: str, headers: Mapping[str, str]) -> None:
    """The same for any headers.

    Raises:
        ValueError: ``origin`` is no URL of plain HTTP, or a header could not be sent.
    """
    known = origin_of(origin)
    if known is None:
        raise ValueError(f"{origin.split('?')[0]!r} is no origin; give one such as https://example.org")
    for name, value in headers.items():
        if not name.isascii() or not value.isascii() or any(ord(letter) < 32 for letter in name + value):
            # The value is not shown: it may be a secret.
            raise ValueError(f"the header {name!r} has letters that no header can have")
    _given.add(known)
    _rust.set_remote_headers(known, list(headers.items()))


def lend(origin: str, headers: Mapping[str, str]) -> None:
    """The same as :func:`set_headers` for one call, until :func:`take_back`."""
    set_headers(origin, headers)
    _lent.add(origin_of(origin))


def take_back(origin: str) -> None:
    """Ends what was lent: the token is looked for where it usually is."""
    known = origin_of(origin)
    if known is not None and known in _lent:
        _lent.discard(known)
        _given.discard(known)
        _rust.set_remote_headers(known, [])


def default_places(urls: Iterable[str]) -> Places:
    """Where the tokens for some URLs are found without a word from the user: the Hub's for the Hub."""
    hub = origin_of(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    origins = {origin_of(url) for url in urls}
    return ((hub, "hub"),) if hub is not None and hub in origins else ()


def apply(places: Places, urls: Iterable[str]) -> None:
    """Finds the tokens of this process and tells Rust; what was set by hand stays."""
    for origin, where in places:
        if origin not in _given:
            token = _find(where)
            _rust.set_remote_headers(origin, [] if token is None else [("authorization", f"Bearer {token}")])
    taken = _given | {origin for origin, _ in places}
    for found in {origin_of(url) for url in urls}:
        if found is not None and found not in taken:
            _apply_netrc(found)


def _find(where: str) -> str | None:
    kind, _, name = where.partition(":")
    if kind == "env":
        return os.environ.get(name, "").strip() or None
    if kind == "file":
        try:
            with open(os.path.expanduser(name), encoding="utf-8") as file:
                return file.read().strip() or None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AccessDeniedError(f"the token's file {name} cannot be read: {error.strerror}", name) from None
    if kind == "hub":
        return _hub_token()
    raise ValueError(f"a token is found in env:NAME, file:PATH or hub, not {kind!r}")


def _hub_token() -> str | None:
    """As the Hub's own client finds it: HF_TOKEN, else the file that logging in left."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip():
            return os.environ[name].strip()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return _find(f"file:{os.environ.get('HF_TOKEN_PATH') or os.path.join(home, 'token')}")


def _apply_netrc(origin: str) -> None:
    host = urlsplit(origin).hostname or ""
    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    try:
        found = netrc.netrc(path).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return
    # A default entry is for every host there is, and so for none in particular.
    if found is not None and host in netrc.netrc(path).hosts:
        login, _, password = found
        pair = base64.b64encode(f"{login}:{password}".encode()).decode()
        _rust.set_remote_headers(origin, [("authorization", f"Basic {pair}")])
