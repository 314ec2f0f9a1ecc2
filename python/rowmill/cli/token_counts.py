"""What ``rowmill index --tokens`` counts: the tokens of every document, on all cores."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.cli.output import size
from rowmill.cli.progress import progress_bar

if TYPE_CHECKING:
    from rowmill import Dataset

__all__ = ["AllowSpecial", "AppendEos", "BosToken", "Counting", "EosToken", "PrependBos", "TextColumn", "Tokens"]
__all__ += ["TokenColumn", "count", "tell"]

Tokens = Annotated[
    str | None,
    typer.Option(
        help='Count the tokens of each row, once: a tokenizer.json, its folder, a name in the Hub cache, or "bytes".',
        show_default=False,
    ),
]
TextColumn = Annotated[
    list[str] | None,
    typer.Option("--column", help='Column of text, several, or a template: "{title}\\n{text}".', show_default="text"),
]
TokenColumn = Annotated[
    str | None,
    typer.Option(help="Count the ids in this column, where they are on the disk already.", show_default=False),
]
AppendEos = Annotated[bool, typer.Option(help="Whether an end-of-text id ends each document.")]
PrependBos = Annotated[bool, typer.Option("--prepend-bos", help="A beginning-of-text id begins each document.")]
EosToken = Annotated[str | None, typer.Option(help="Token (or id) that ends a document.", show_default=False)]
BosToken = Annotated[str | None, typer.Option(help="Token (or id) that begins a document.", show_default=False)]
AllowSpecial = Annotated[bool, typer.Option("--allow-special", help="Take special tokens in the text as such.")]


@dataclass(frozen=True)
class Counting:
    """What is to be counted."""

    tokens: str | None
    columns: list[str] | None
    token_column: str | None
    append_eos: bool
    prepend_bos: bool
    eos_token: str | None
    bos_token: str | None
    allow_special: bool

    def packed(self, opened: Dataset, seq_len: int, mode: str) -> Dataset:
        """The documents as samples.

        Raises:
            ValueError: The options do not go together.
        """
        if self.token_column is not None and self.tokens is None:
            return opened.pack(seq_len, mode=mode, column=self.token_column)  # type: ignore[arg-type]
        documents = self.dataset(opened)
        if documents is None:
            raise ValueError("--seq-len packs token ids: name a tokenizer with --tokens, or --token-column")
        return documents.pack(seq_len, mode=mode)  # type: ignore[arg-type]

    def dataset(self, opened: Dataset) -> Dataset | None:
        """The documents; None where nothing is to be counted.

        Raises:
            ValueError: The options do not go together.
        """
        if self.tokens is not None and self.token_column is not None:
            raise ValueError("--tokens counts what a tokenizer makes, --token-column what is there already: name one")
        if self.token_column is not None:
            return opened.pack(1, column=self.token_column)
        if self.tokens is None:
            if self.columns:
                raise ValueError("--column says what --tokens encodes; name the tokenizer")
            return None
        columns = self.columns or ["text"]
        return opened.tokenize(
            self.tokens,
            column=columns[0] if len(columns) == 1 else columns,
            append_eos=self.append_eos,
            prepend_bos=self.prepend_bos,
            eos_token=_token(self.eos_token),
            bos_token=_token(self.bos_token),
            allow_special=self.allow_special,
        )


def count(documents: Dataset, *, force: bool) -> dict[str, Any]:
    """Counts, with a progress bar; what is to be said of it."""
    begun = time.perf_counter()
    with progress_bar("counting tokens") as report:
        totals = documents.count_tokens(force=force, progress=report)
    seconds = time.perf_counter() - begun
    return {**asdict(totals), "seconds": round(seconds, 6)}


def tell(facts: dict[str, Any]) -> str:
    """One line on what was counted."""
    known = facts["num_rows"] - facts["num_counted"]
    left_out = f", {facts['num_left_out']:,} left out for damage" if facts["num_left_out"] else ""
    return (
        f"{facts['num_tokens']:,} tokens in {facts['num_rows']:,} rows{left_out}: {facts['num_counted']:,} counted, "
        f"{known:,} known, in {facts['seconds']:.3f} s; the counts take {size(facts['num_bytes'])}"
    )


def _token(name: str | None) -> str | int | None:
    return int(name) if name is not None and name.isdecimal() else name
