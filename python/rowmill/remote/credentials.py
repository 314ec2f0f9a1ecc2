"""What is said of which objects, by the URL that they lie below: never in a manifest, a cursor, an error or a file.

A dataset carries only *where* a token is found ("env:NAME", "file:PATH", "hub"); every process that opens it looks
there itself. What was set by hand is in this process's memory, in that of those that it forks, and in the pipe through
which ``multiprocessing`` hands a dataset to one that it spawns; no other pickle has it.
"""

from __future__ import annotations

import base64
import netrc
import os
from collections.abc import Iterable, Mapping
from multiprocessing import context
from urllib.parse import urlsplit

from rowmill import _rust
from rowmill.exceptions import AccessDeniedError
from rowmill.remote.urls import origin_of

__all__ = ["Places", "Said", "apply", "default_places", "handed_over", "lend", "set_headers", "set_token", "take_back"]

# (what lies below this URL, where its token is found)
Places = tuple[tuple[str, str], ...]
# What is said of what lies below a URL.
Said = dict[str, list[tuple[str, str]]]

_said: Said = {}
# Of these, what calls brought for themselves.
_lent: set[str] = set()


def set_token(origin: str, token: str | None) -> None:
    """Sends ``Authorization: Bearer TOKEN`` with requests for objects below a URL, in this process; None takes it back.

    Others never see it, also where a server redirects to them. Workers have it too, whether they are forked or spawned;
    other pickles look where ``credentials`` of :func:`rowmill.remote.open_files` says, or into ``~/.netrc``.

    Args:
        origin: ``https://host`` for all that is there, or ``https://host/path`` for what lies below; the longer one
            counts.
        token: The token.
    """
    set_headers(origin, {} if token is None else {"authorization": f"Bearer {token}"})


def set_headers(origin: str, headers: Mapping[str, str]) -> None:
    """The same for any headers.

    Raises:
        ValueError: ``origin`` is no URL of plain HTTP, or a header could not be sent.
    """
    prefix = _prefix_of(origin)
    for name, value in headers.items():
        if not name.isascii() or not value.isascii() or any(ord(letter) < 32 for letter in name + value):
            # The value is not shown: it may be a secret.
            raise ValueError(f"the header {name!r} has letters that no header can have")
    _say(prefix, list(headers.items()))


def lend(origin: str, headers: Mapping[str, str]) -> None:
    """The same as :func:`set_headers` for one call, until :func:`take_back`."""
    set_headers(origin, headers)
    _lent.add(_prefix_of(origin))


def take_back(origin: str) -> None:
    """Ends what was lent: the token is looked for where it usually is."""
    prefix = _prefix_of(origin)
    if prefix in _lent:
        _lent.discard(prefix)
        del _said[prefix]
        _rust.set_remote_headers(prefix, None)


def handed_over(urls: Iterable[str]) -> Said:
    """What a process that is being spawned at this moment is to say of these URLs; nothing for any other pickle."""
    # Multiprocessing pickles for a child into memory, and writes that into a pipe which the child alone reads.
    if context.get_spawning_popen() is None or not _said:
        return {}
    known = list(urls)
    return {prefix: list(headers) for prefix, headers in _said.items() if any(_is_below(url, prefix) for url in known)}


def receive(said: Said) -> None:
    """Takes over what the process that spawned this one says."""
    for prefix, headers in said.items():
        _say(prefix, headers)


def _say(prefix: str, headers: list[tuple[str, str]]) -> None:
    _said[prefix] = headers
    _rust.set_remote_headers(prefix, headers)


def _prefix_of(url: str) -> str:
    known = origin_of(url)
    if known is None:
        raise ValueError(f"{url.split('?')[0]!r} is no place; give one such as https://example.org")
    return known + urlsplit(url).path.rstrip("/")


def _is_below(url: str, prefix: str) -> bool:
    known = origin_of(url)
    whole = "" if known is None else known + urlsplit(url).path
    return whole == prefix or whole.startswith(f"{prefix}/")


def default_places(urls: Iterable[str]) -> Places:
    """Where the tokens for some URLs are found without a word from the user: the Hub's for the Hub."""
    hub = origin_of(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    origins = {origin_of(url) for url in urls}
    return ((hub, "hub"),) if hub is not None and hub in origins else ()


def apply(places: Places, urls: Iterable[str]) -> None:
    """Finds the tokens of this process and tells Rust; what was set by hand stays."""
    for place, where in places:
        prefix = _prefix_of(place)
        is_given = any(_is_below(prefix, given) for given in _said)
        token = None if is_given else _find(where)
        if prefix not in _said:
            headers = None if token is None else [("authorization", f"Bearer {token}")]
            _rust.set_remote_headers(prefix, headers)
    taken = {origin_of(prefix) for prefix in [*_said, *(place for place, _ in places)]}
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
