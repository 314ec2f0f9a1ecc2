"""tokenize: the text of a row as token ids."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rowmill.exceptions import SchemaMismatchError
from rowmill.stages.columns import check_names
from rowmill.stages.identity import describe_function
from rowmill.tokenizers import ResolvedTokenizer, resolve_tokenizer

__all__ = ["INPUT_IDS", "Tokenize", "make_tokenize", "parse_parts"]

INPUT_IDS = "input_ids"

Parts = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Tokenize:
    """Text to ids; ``parts`` are what a document's text is made of: characters, then a column's name or None."""

    tokenizer: ResolvedTokenizer
    parts: Parts
    bos: int | None
    eos: int | None
    kept: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, each once: those of the text, then those that stay."""
        return tuple(dict.fromkeys([*(name for _, name in self.parts if name is not None), *self.kept]))

    @property
    def num_special(self) -> tuple[int, int]:
        """How many ids stand before and after those of the text."""
        rust = self.tokenizer.rust
        prefix, suffix = ([], []) if self.tokenizer.function is not None else (rust.prefix, rust.suffix)
        return len(prefix) + (self.bos is not None), len(suffix) + (self.eos is not None)

    def check(self, names: Sequence[str]) -> None:
        """Raises SchemaMismatchError where a column is not there, or would come twice."""
        check_names(self.columns, list(names))
        if INPUT_IDS in self.kept:
            raise SchemaMismatchError(f"{INPUT_IDS!r} is what .tokenize makes; rename the column that is to be kept")

    def text(self, row: dict[str, Any]) -> str:
        """The document that a row is."""
        return _join(self.parts, row)

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """The same for one row that a Python function has made."""
        check_names(self.columns, list(row))
        text = self.text(row)
        function = self.tokenizer.function
        ids = self.tokenizer.rust.encode(text) if function is None else function(text)
        try:
            ids = [*([] if self.bos is None else [self.bos]), *ids, *([] if self.eos is None else [self.eos])]
            made = np.array(ids, np.uint32) if all(map(_is_id, ids)) else None
        except TypeError:
            made = None
        if made is None:
            raise SchemaMismatchError(
                f"the tokenizer {self.tokenizer.name} made {ids!r:.80} of {text!r:.40}, no list of ids "
                "from 0 to 2^32 - 1"
            )
        return {INPUT_IDS: made, **{name: row[name] for name in self.kept}}

    def describe(self) -> str:
        text = "".join(literal + ("" if name is None else f"{{{name}}}") for literal, name in self.parts)
        kept = f",keep={'+'.join(self.kept)}" if self.kept else ""
        function = self.tokenizer.function
        tokenizer = self.tokenizer.fingerprint if function is None else describe_function(function)
        return f"tokenize({tokenizer},{text!r},bos={self.bos},eos={self.eos}{kept})"


def make_tokenize(
    tokenizer: Any,
    column: str | Sequence[str],
    append_eos: bool,
    prepend_bos: bool,
    eos_token: str | int | None,
    bos_token: str | int | None,
    allow_special: bool,
    keep_columns: str | Sequence[str],
    rows: Callable[[Sequence[str]], list[dict[str, Any]]],
) -> Tokenize:
    """The stage, with the tokenizer found and the ids around each document decided.

    ``rows`` reads some rows of columns: on their texts, too, the engines must agree.
    """
    parts = parse_parts(column)
    columns = tuple(dict.fromkeys(name for _, name in parts if name is not None))
    probes = [_join(parts, row) for row in rows(columns) if _is_text(row)]
    resolved = resolve_tokenizer(
        tokenizer, eos_token=eos_token, bos_token=bos_token, allow_special=allow_special, probes=probes
    )
    kept = (keep_columns,) if isinstance(keep_columns, str) else tuple(keep_columns)
    eos = resolved.required_eos() if append_eos and not resolved.adds_eos else None
    bos = resolved.required_bos() if prepend_bos and not resolved.adds_bos else None
    return Tokenize(resolved, parts, bos, eos, kept)


def parse_parts(column: str | Sequence[str]) -> Parts:
    """What ``column`` says of a document's text: a name, names that lines are made of, or a template in braces.

    Raises:
        ValueError: A template without columns, or with more than their names in its braces.
    """
    if not isinstance(column, str):
        names = list(column)
        if not names:
            raise ValueError("tokenize needs the name of at least one column of text")
        return tuple(("\n" if at else "", name) for at, name in enumerate(names))
    if "{" not in column:
        return (("", column),)
    parts: list[tuple[str, str | None]] = []
    try:
        found = list(string.Formatter().parse(column))
    except ValueError as error:
        raise ValueError(
            f"the template {column!r} is none ({error}); columns stand in braces, and a brace itself is doubled"
        ) from None
    for literal, name, spec, conversion in found:
        if spec or conversion or name == "":
            raise ValueError(f'the template {column!r} may hold names of columns only, as in "{{title}}\\n{{text}}"')
        parts.append((literal, name))
    if all(name is None for _, name in parts):
        raise ValueError(f"the template {column!r} names no column")
    return tuple(parts)


def _is_id(value: Any) -> bool:
    return isinstance(value, int | np.integer) and bool(0 <= value < 1 << 32)


def _is_text(row: dict[str, Any]) -> bool:
    # What is no text is told, with its place, where the row is read.
    return all(isinstance(value, str | None) for value in row.values())


def _join(parts: Parts, row: dict[str, Any]) -> str:
    return "".join(literal + ("" if name is None else _text(name, row[name])) for literal, name in parts)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise SchemaMismatchError(f"column {name!r} holds bytes that are not UTF-8 ({error}), not text") from None
    if not isinstance(value, str):
        raise SchemaMismatchError(
            f"column {name!r} holds {type(value).__name__}, not text; have .map() make it a string before .tokenize"
        )
    return value
