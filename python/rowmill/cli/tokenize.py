"""``rowmill tokenize``: text to token ids on disk, on all cores."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rowmill.cli.opening import IndexDir, Split, open_dataset
from rowmill.cli.output import AsJson, print_facts, print_json


class Format(StrEnum):
    """What can be written."""

    arrow = "arrow"
    megatron = "megatron"
    nanogpt = "nanogpt"
    llmc = "llmc"


def tokenize(
    sources: Annotated[list[str], typer.Argument(help="Files, folders or globs.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The folder to write: new, empty, or unfinished.", show_default=False)],
    tokenizer: Annotated[
        str,
        typer.Option("--tokenizer", "-t", help="A tokenizer.json, its folder, a cached repository, or bytes."),
    ],
    column: Annotated[str, typer.Option("--column", "-c", help='Column of text, or a template: "{title} {text}".')] = (
        "text"
    ),
    seq_len: Annotated[
        int | None, typer.Option(min=1, help="Write sequences of so many ids, not documents.", show_default=False)
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="Format of the shards.")] = Format.arrow,
    eos: Annotated[bool, typer.Option("--eos/--no-eos", help="End each document with the end-of-text id.")] = True,
    bos: Annotated[bool, typer.Option("--bos/--no-bos", help="Begin each with the beginning-of-text id.")] = False,
    eos_token: Annotated[
        str | None, typer.Option(help="The token, or id, that ends a document.", show_default="the tokenizer's")
    ] = None,
    bos_token: Annotated[
        str | None, typer.Option(help="The token, or id, that begins one.", show_default="the tokenizer's")
    ] = None,
    allow_special: Annotated[bool, typer.Option("--allow-special", help="Special tokens in the text count.")] = False,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", "-k", help="A column that stays; may be repeated.", show_default=False)
    ] = None,
    num_shards: Annotated[int | None, typer.Option(min=1, help="Shards to write.", show_default="by size")] = None,
    shard_bytes: Annotated[
        int | None,
        typer.Option(min=1, help="Bytes of the source in each shard.", show_default="256 MiB; 4 GiB of flat files"),
    ] = None,
    shuffle: Annotated[
        int | None, typer.Option(metavar="SEED", help="Shuffle the documents by this seed.", show_default=False)
    ] = None,
    num_threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads that encode.", show_default="all cores")
    ] = None,
    split: Split = None,
    index_dir: IndexDir = None,
    as_json: AsJson = False,
) -> None:
    """Encode text once, on all cores, into shards of token ids; a killed run goes on.

    Each shard is whole or not there; dataset.json holds exact counts and checksums. The same command, given again
    after a kill, goes on behind the last finished shard.
    """
    import rowmill

    made = rowmill.tokenize(
        open_dataset(sources, index_dir, split=split),
        out,
        tokenizer=tokenizer,
        column=column.replace("\\n", "\n"),
        seq_len=seq_len,
        append_eos=eos,
        prepend_bos=bos,
        eos_token=_token(eos_token),
        bos_token=_token(bos_token),
        allow_special=allow_special,
        keep_columns=tuple(keep or ()),
        format=format_.value,
        shuffle=shuffle,
        num_shards=num_shards,
        shard_bytes=shard_bytes,
        num_threads=num_threads,
    )
    if as_json:
        print_json(made)
        return
    facts = ("format", "num_rows", "num_tokens", "num_shards", "num_bytes", "num_workers")
    print_facts({"folder": out, **{name: made[name] for name in facts}})


def _token(text: str | None) -> str | int | None:
    """A number is an id."""
    return int(text) if text is not None and text.isdecimal() else text
