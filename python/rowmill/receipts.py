"""Receipts: one small value for everything that was delivered, to compare two runs by.

A receipt's digest is a sum over samples, so those of ranks, of workers, and of a run and its resumed rest are
added, and are then that of one straight run of one rank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rowmill.exceptions import StateMismatchError

__all__ = [
    "NO_RECEIPT",
    "RECEIPT_VERSION",
    "SHARE",
    "Parts",
    "Receipt",
    "begin_receipt",
    "begin_share",
    "check_receipt",
    "merge_receipts",
    "merged_or_none",
    "receipt_of",
    "receipt_seed",
    "without_share",
]

# Of how samples are digested; as in Rust's loader::receipt.
RECEIPT_VERSION = 1

Receipt = dict[str, Any]

Parts = tuple[str, int, int, int]
"""Digest in hex, samples, tokens, and the position from which they count: a receipt as Rust has it."""

SHARE = "share"
"""Where a cursor that is the same on every rank has this rank's receipt, until it is shown."""

_EMPTY = ("0" * 32, 0, 0)

NO_RECEIPT: Parts = (*_EMPTY, 0)
"""That of a pass that has delivered nothing."""


def merge_receipts(receipts: Iterable[Mapping[str, Any]]) -> Receipt:
    """The receipt of what several ranks, or a run and the one that was resumed after it, delivered together.

    Args:
        receipts: Those of ``stats()["receipt"]``, each delivered sample in one of them.

    Raises:
        StateMismatchError: One is no receipt, or of another version.

    Example:
        >>> import rowmill
        >>> one = {"version": 1, "digest": "f" * 32, "samples": 2, "tokens": 16, "since": 0}
        >>> rowmill.merge_receipts([one, {**one, "digest": "0" * 31 + "2"}])["digest"]
        '00000000000000000000000000000001'
    """
    known = [check_receipt(receipt) for receipt in receipts]
    return {
        "version": RECEIPT_VERSION,
        "digest": f"{sum(int(one['digest'], 16) for one in known) % (1 << 128):032x}",
        "samples": sum(one["samples"] for one in known),
        "tokens": sum(one["tokens"] for one in known),
        "since": min((one["since"] for one in known), default=0),
    }


def check_receipt(receipt: Any) -> Receipt:
    """``receipt``, if it is one.

    Raises:
        StateMismatchError: It is none.
    """
    if not isinstance(receipt, Mapping) or receipt.get("version") != RECEIPT_VERSION:
        raise StateMismatchError(f"{receipt!r:.200} is no receipt of version {RECEIPT_VERSION}")
    digest, numbers = receipt.get("digest"), [receipt.get(name) for name in ("samples", "tokens", "since")]
    if not isinstance(digest, str) or re.fullmatch("[0-9a-f]{32}", digest) is None:
        raise StateMismatchError(f"the receipt's digest is {digest!r:.100}; it is damaged")
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers):
        raise StateMismatchError("the receipt's counts are no counts; it is damaged")
    return dict(receipt)


def begin_receipt(cursor: Mapping[str, Any] | None, consumer: int) -> Parts:
    """Digest, samples, tokens and where counting began, for a consumer of lanes that begins at ``cursor``.

    What others have delivered before stands with one of those who go on.
    """
    if cursor is None:
        return NO_RECEIPT
    stored = cursor.get("receipt")
    if stored is None:
        return *_EMPTY, cursor["position"]
    if (cursor.get("lanes") or {}).get("index") != consumer:
        return *_EMPTY, stored["since"]
    return stored["digest"], stored["samples"], stored["tokens"], stored["since"]


def begin_share(cursor: Mapping[str, Any] | None, is_first: bool, position: int) -> Parts:
    """The same for a consumer of positions.

    Args:
        cursor: Where it begins; None at the beginning of a pass.
        is_first: Whether it is the first of its job's consumers, with whom stands what was delivered before.
        position: The cursor's place in the pass.
    """
    if cursor is None:
        return NO_RECEIPT
    stored = cursor.get(SHARE) or cursor.get("receipt")
    if stored is None:
        return *_EMPTY, position
    if "worker" in cursor or SHARE in cursor or is_first:
        return stored["digest"], stored["samples"], stored["tokens"], stored["since"]
    return *_EMPTY, stored["since"]


def without_share(cursor: dict[str, Any]) -> dict[str, Any]:
    """A cursor as it is saved: what one of several ranks alone delivered is left out where it says the same on all."""
    return {name: value for name, value in cursor.items() if name != SHARE} if SHARE in cursor else cursor


def merged_or_none(receipts: Iterable[Mapping[str, Any] | None]) -> Receipt | None:
    """The receipt of all; None where one has none, or counts from another place than the others."""
    known = list(receipts)
    if any(receipt is None for receipt in known) or len({receipt["since"] for receipt in known if receipt}) != 1:
        return None
    return merge_receipts(receipt for receipt in known if receipt is not None)


def receipt_of(parts: Parts) -> Receipt:
    """The receipt that Rust tells of."""
    digest, samples, tokens, since = parts
    return {"version": RECEIPT_VERSION, "digest": digest, "samples": samples, "tokens": tokens, "since": since}


def receipt_seed(fingerprint: str) -> int:
    """What the digests of this data are seeded with."""
    return int(fingerprint[:16], 16)
