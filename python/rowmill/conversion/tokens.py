"""``rowmill.tokenize``: text to token ids on disk, once, on all cores; whole or resumable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rowmill.arguments import positive
from rowmill.conversion.disk_errors import explained
from rowmill.conversion.row_blocks import schema_of
from rowmill.conversion.shards import rows_of, settings_of, suggested_workers
from rowmill.conversion.token_blocks import id_type
from rowmill.conversion.token_sinks import DocumentSink, MegatronSink, SequenceSink, StreamSink
from rowmill.conversion.writing import row_sizes, write_shards
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["FORMATS", "TokenFormat", "tokenize", "write_stored"]

TokenFormat = Literal["arrow", "megatron", "nanogpt", "llmc"]
FORMATS: tuple[TokenFormat, ...] = ("arrow", "megatron", "nanogpt", "llmc")
# Of the source, for each shard: what a kill costs is the writing of one. Trainers that read the other formats are
# given one file, or a few.
_SHARD_BYTES = {"arrow": 256 << 20, "megatron": 4 << 30, "nanogpt": 4 << 30, "llmc": 256 << 20}
_IDS = "input_ids"


def tokenize(
    source: Dataset | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    tokenizer: Any,
    column: str | Sequence[str] = "text",
    seq_len: int | None = None,
    append_eos: bool = True,
    prepend_bos: bool = False,
    eos_token: str | int | None = None,
    bos_token: str | int | None = None,
    allow_special: bool = False,
    keep_columns: str | Sequence[str] = (),
    pad_token_id: int | None = None,
    format: TokenFormat = "arrow",
    shuffle: int | None = None,
    num_shards: int | None = None,
    shard_bytes: int | None = None,
    num_threads: int | None = None,
) -> dict[str, Any]:
    r"""Encodes a data set's text and writes the ids, in order, as shards that any ``rowmill.open`` reads.

    It encodes on all cores, a stream of bounded memory, and writes as ``convert`` does: each shard whole or not at
    all, with checksums and a ``dataset.json``; after a kill the same call goes on behind the last finished shard.

    Args:
        source: An opened dataset (without ``.batch``, ``.filter``, or a batched ``.map``), or paths to open.
        out: The folder to write; new, empty, or holding this very call's work, unfinished.
        tokenizer: As in ``Dataset.tokenize``, as are the options up to ``keep_columns``.
        column: Column of text, several, or a template such as ``"{title}\n{text}"``.
        seq_len: Write sequences of so many ids instead of documents: every id once, documents cut wherever a
            sequence ends, the last one filled up; for Arrow shards only.
        append_eos: End each document with the end-of-text id.
        prepend_bos: Begin each document with the beginning-of-text id.
        eos_token: Which token (or id) ends a document.
        bos_token: Which token (or id) begins one.
        allow_special: Take special tokens in the text as such.
        keep_columns: Columns that stay beside the ids of documents; for Arrow shards only.
        pad_token_id: What fills up the last sequence; the end-of-text id, or 0, if None.
        format: "arrow" (IPC streams of a list column), "megatron" (pairs of ``.bin`` and ``.idx``), "nanogpt" (bare
            streams of uint16) or "llmc" (the same with llm.c's header).
        shuffle: Seed of a window shuffle of the documents; storage order when None.
        num_shards: Shards to write; by size when None.
        shard_bytes: About so many bytes of the source in each shard; 256 MiB, or 4 GiB for "megatron" and "nanogpt",
            if neither is given.
        num_threads: Threads that encode; all cores when None.

    Returns:
        What stands in ``dataset.json``: as of ``convert``, and ``num_tokens``, ``num_padding``, the tokenizer's
        fingerprint and the ids that end and begin documents.

    Raises:
        FileExistsError: ``out`` holds something else, or a finished data set.
        StateMismatchError: ``out`` holds the unfinished work of another call.
        SchemaMismatchError: The format has no place for an id or a column.
        AccessDeniedError: ``out`` cannot be written.
        OSError: There is no room left; what is finished stays, and the same call goes on behind it.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder + "/text", num_shards=2)
        ...     made = rowmill.tokenize(files, folder + "/ids", tokenizer="bytes", seq_len=128)
        ...     first = rowmill.open(folder + "/ids").fetch([0])[0]
        >>> len(first["input_ids"]), made["num_rows"] == -(-made["num_tokens"] // 128)
        (128, True)
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    kept = (keep_columns,) if isinstance(keep_columns, str) else tuple(keep_columns)
    if (seq_len is not None or kept) and format != "arrow":
        raise ValueError(f"{'keep_columns' if kept else 'seq_len'} is for Arrow shards; {format} holds documents' ids")
    if seq_len is not None and kept:
        raise ValueError("a sequence holds parts of several documents, which keep_columns has no place beside")
    ids = rows_of(source, None, shuffle).tokenize(
        tokenizer,
        column=column,
        append_eos=append_eos,
        prepend_bos=prepend_bos,
        eos_token=eos_token,
        bos_token=bos_token,
        allow_special=allow_special,
        keep_columns=kept,
    )
    return write_tokens(
        ids,
        Path(out),
        column=_IDS,
        to=format,
        seq_len=None if seq_len is None else positive("seq_len", seq_len, 1),
        pad=pad_token_id,
        num_shards=num_shards,
        shard_bytes=shard_bytes,
        num_threads=num_threads,
    )


def write_tokens(
    ids: Dataset,
    folder: Path,
    *,
    column: str,
    to: TokenFormat,
    seq_len: int | None = None,
    pad: int | None = None,
    num_shards: int | None = None,
    shard_bytes: int | None = None,
    num_threads: int | None = None,
) -> dict[str, Any]:
    """Writes rows of token ids as ``to``; see ``tokenize``."""
    sizes = _sizes(ids, to, num_shards, shard_bytes)
    schema = schema_of(ids)
    told, eos = _tokenizer(ids)
    pad = pad if pad is not None else eos or 0
    sink = _sink(schema, column, to, seq_len, pad)
    settings = {**settings_of(ids, to, len(sizes)), "seq_len": seq_len, "pad_token_id": pad, "column": column}
    facts = {
        "format": to,
        "schema": _types(sink, schema),
        "seq_len": seq_len,
        **told,
        "source_fingerprint": ids.fingerprint,
        "order": ids._plan.order.as_dict(),
        "num_workers": suggested_workers(len(sizes)),
    }
    with explained(
        folder,
        closed="choose another folder, or mind its rights",
        full="make some and give the same call again: it goes on behind the last shard that is there",
    ):
        threads = num_threads or os.cpu_count() or 1
        return write_shards(ids, folder, schema, sizes, settings, sink, facts, num_threads=threads)


def write_stored(
    rows: Dataset, folder: Path, to: Any, column: str, num_shards: int | None, shard_bytes: int | None
) -> dict[str, Any]:
    """Writes the ids that a column holds already; see ``convert``."""
    id_type(schema_of(rows), column)
    ids = rows.select_columns(column)
    return write_tokens(ids, folder, column=column, to=to, num_shards=num_shards, shard_bytes=shard_bytes)


def _sink(
    schema: pa.Schema, column: str, to: TokenFormat, seq_len: int | None, pad: int
) -> DocumentSink | SequenceSink | MegatronSink | StreamSink:
    stored = id_type(schema, column)
    if to == "megatron":
        return MegatronSink(column, stored)
    if to != "arrow":
        if to == "nanogpt" and stored.name == "uint32":
            raise SchemaMismatchError(
                "nanoGPT's streams are of 16 bits, and this vocabulary has more than 65,536 ids; "
                "choose megatron, llmc or arrow"
            )
        return StreamSink(column, stored, has_header=to == "llmc")
    if seq_len is None:
        return DocumentSink(schema, column)
    return SequenceSink(column, stored, seq_len, pad)


def _sizes(ids: Dataset, to: str, num_shards: int | None, shard_bytes: int | None) -> list[int]:
    if num_shards is not None and shard_bytes is not None:
        raise ValueError("num_shards and shard_bytes both say how large shards are; give one")
    if num_shards is not None:
        num_shards = positive("num_shards", num_shards, 1)
    else:
        shard_bytes = positive("shard_bytes", shard_bytes, _SHARD_BYTES[to])
    return row_sizes(ids, num_shards, shard_bytes, usual_shards=None)


def _types(sink: DocumentSink | SequenceSink | MegatronSink | StreamSink, schema: pa.Schema) -> dict[str, str]:
    if isinstance(sink, SequenceSink):
        schema = sink.schema()
    elif isinstance(sink, (MegatronSink, StreamSink)):
        return {_IDS: f"list<{sink.dtype.name}>"}
    return {field.name: str(field.type) for field in schema}


def _tokenizer(ids: Dataset) -> tuple[dict[str, Any], int | None]:
    """What is said of the tokenizer, without where it lies; and the id that ends a document."""
    pipeline = ids._plan.pipeline
    from rowmill.stages import Tokenize

    stages = [pipeline.tokenize, *pipeline.row_stages]
    stage = next((stage for stage in stages if isinstance(stage, Tokenize)), None)
    if stage is None:
        return {}, None
    told = stage.tokenizer.describe()
    eos = stage.tokenizer.eos_id if stage.eos is not None or stage.tokenizer.adds_eos else None
    about = {
        "fingerprint": stage.tokenizer.fingerprint,
        "engine": told["engine"],
        "vocab_size": None if stage.tokenizer.function is not None else stage.tokenizer.rust.vocab_size,
        "eos": eos,
        "bos": stage.tokenizer.bos_id if stage.bos is not None or stage.tokenizer.adds_bos else None,
    }
    return {"tokenizer": about}, eos
