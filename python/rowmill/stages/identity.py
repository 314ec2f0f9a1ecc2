"""A short, stable name for a Python function, so that a cursor can tell that a pipeline has changed."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Callable
from typing import Any

__all__ = ["describe_function"]


def describe_function(function: Callable[..., Any]) -> str:
    """Returns ``name#digest``; the digest covers the bytecode, constants, names, defaults and plain closure values.

    Bytecode differs between Python versions, so the cursor also records the version and compares digests
    only under the same one.
    """
    described = getattr(type(function), "__rowmill_describe__", None)
    if described is not None:
        return str(described(function))
    if isinstance(function, functools.partial):
        digest = _digest(repr(function.args), repr(sorted(function.keywords.items())))
        return f"partial({describe_function(function.func)},{digest})"
    bound = getattr(function, "__func__", function)
    name = getattr(bound, "__qualname__", type(function).__qualname__)
    code = getattr(bound, "__code__", None)
    if code is None:
        call = getattr(type(function), "__call__", None)  # noqa: B004 - its code is wanted, not whether it is there
        code = getattr(call, "__code__", None)
    if code is None:
        return name
    closure = tuple(_plain(cell) for cell in getattr(bound, "__closure__", None) or ())
    return f"{name}#{_digest(_of_code(code), repr(getattr(bound, '__defaults__', None)), repr(closure))}"


def _of_code(code: types.CodeType) -> str:
    constants = [
        _of_code(constant) if isinstance(constant, types.CodeType) else _plain_text(constant)
        for constant in code.co_consts
    ]
    return repr((code.co_code.hex(), constants, code.co_names))


def _plain(cell: types.CellType) -> str:
    try:
        return _plain_text(cell.cell_contents)
    except ValueError:
        return "empty"


def _plain_text(value: Any) -> str:
    """Values whose text is the same in every process; others (with an address in it) only by type."""
    if isinstance(value, frozenset):
        return repr(sorted(map(_plain_text, value)))
    if isinstance(value, tuple):
        return repr([_plain_text(part) for part in value])
    return repr(value) if isinstance(value, str | bytes | int | float | bool | None) else type(value).__qualname__


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()
