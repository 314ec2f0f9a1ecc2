"""Token ids to files: Arrow rows or sequences, Megatron's pairs, and flat streams."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rowmill.conversion.outflow import Outflow
from rowmill.conversion.progress import Bar
from rowmill.conversion.sinks import Sink
from rowmill.conversion.token_blocks import ids_of, narrowed, num_ids
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DocumentSink", "MegatronSink", "SequenceSink", "StreamSink", "TokenSink"]

# As the blocks of other shards.
_BLOCK_ROWS, _BLOCK_BYTES = 1000, 16 << 20

_IDX_MAGIC, _IDX_VERSION = b"MMIDIDX\x00\x00", 1
# Megatron's numbers of what NumPy calls by these names.
_IDX_DTYPES = {"uint16": 8, "int32": 4}

# llm.c's files begin with 256 int32: a magic, a version, the number of tokens.
_LLMC_WORDS = 256
_LLMC = {"uint16": (20240520, 1), "uint32": (20240801, 7)}
_LLMC_MOST = (1 << 31) - 1


class TokenSink:
    """What writes the ids of a column; ``dtype`` is what they are in the file."""

    title: str = "tokenizing"
    suffixes: tuple[str, ...] = ()
    is_parquet: bool = False

    def __init__(self, column: str, dtype: np.dtype[Any]) -> None:
        self.column, self.dtype = column, dtype

    def go_on(self, shards: list[dict[str, Any]]) -> None:
        """Each shard stands for itself."""

    def tell(self, bar: Bar, block: pa.Table) -> None:
        """Counts a block's rows and tokens."""
        bar.add(block.num_rows, rows=block.num_rows, tokens=num_ids(block[self.column]))

    def write(self, first_row: int, is_last: bool, blocks: Iterable[pa.Table], *paths: Path) -> dict[str, Any] | None:
        """Writes one shard; what is to be said of it."""
        raise NotImplementedError

    def _ids(self, blocks: Iterable[pa.Table]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for ids, lengths in ids_of(blocks, self.column):
            yield narrowed(ids, self.dtype, self.title.rpartition(" ")[2]), lengths


class DocumentSink(Sink):
    """Arrow shards of the rows as they are: a document each."""

    def __init__(self, schema: pa.Schema, column: str) -> None:
        super().__init__("arrow", schema)
        self.column, self.title = column, "tokenizing"

    def tell(self, bar: Bar, block: pa.Table) -> None:
        """Counts a block's rows and tokens."""
        bar.add(block.num_rows, rows=block.num_rows, tokens=num_ids(block[self.column]))

    def write(self, first_row: int, is_last: bool, blocks: Iterable[pa.Table], *paths: Path) -> dict[str, Any] | None:
        """Writes one shard, and counts its tokens."""
        count = _Counted(blocks, self.column)
        written = super().write(first_row, is_last, count, *paths) or {}
        return {**written, "num_tokens": count.num_tokens}


class _Counted:
    def __init__(self, blocks: Iterable[pa.Table], column: str) -> None:
        self._blocks, self._column, self.num_tokens = blocks, column, 0

    def __iter__(self) -> Iterator[pa.Table]:
        for block in self._blocks:
            self.num_tokens += num_ids(block[self._column])
            yield block


class SequenceSink(TokenSink):
    """Arrow shards of sequences of ``seq_len`` ids, cut from the documents one after the other.

    A document goes on in the next sequence, and in the next shard; what is left at the end is filled with ``pad``.
    """

    suffixes: tuple[str, ...] = (".arrow",)

    def __init__(self, column: str, dtype: np.dtype[Any], seq_len: int, pad: int) -> None:
        super().__init__(column, dtype)
        self.seq_len, self.pad = seq_len, pad
        self._carried = np.empty(0, dtype)
        self._block_rows = max(min(_BLOCK_ROWS, _BLOCK_BYTES // (seq_len * dtype.itemsize)), 1)

    def go_on(self, shards: list[dict[str, Any]]) -> None:
        """Takes up the ids that were left over when these shards were written."""
        if shards:
            self._carried = np.frombuffer(base64.b64decode(shards[-1]["carried"]), self.dtype)

    def write(self, first_row: int, is_last: bool, blocks: Iterable[pa.Table], *paths: Path) -> dict[str, Any] | None:
        """Writes the sequences that this shard's documents complete."""
        import pyarrow as pa

        (path,), schema = paths, self.schema()
        num_rows, num_padding = 0, 0
        with Outflow(path) as file, pa.ipc.new_stream(pa.PythonFile(file, "w"), schema) as writer:
            for sequences in self._sequences(blocks):
                writer.write_batch(self._batch(sequences, schema))
                num_rows += len(sequences)
            if is_last and len(self._carried):
                num_padding = self.seq_len - len(self._carried)
                last = np.concatenate([self._carried, np.full(num_padding, self.pad, self.dtype)])
                writer.write_batch(self._batch(last.reshape(1, -1), schema))
                num_rows, self._carried = num_rows + 1, self._carried[:0]
        return {
            "files": [file],
            "num_rows": num_rows,
            "num_tokens": num_rows * self.seq_len - num_padding,
            "num_padding": num_padding,
            "carried": base64.b64encode(self._carried.tobytes()).decode(),
        }

    def schema(self) -> pa.Schema:
        """Of the shards: one column, as ``.tokenize`` yields it."""
        import pyarrow as pa

        item = pa.field("item", pa.from_numpy_dtype(self.dtype), nullable=False)
        return pa.schema([pa.field("input_ids", pa.list_(item), nullable=False)])

    def _sequences(self, blocks: Iterable[pa.Table]) -> Iterator[np.ndarray]:
        """Sequences in blocks of ``_block_rows``; what completes none stays in ``_carried``."""
        held, num_held, wanted = [self._carried], len(self._carried), self._block_rows * self.seq_len
        for ids, _ in self._ids(blocks):
            held.append(ids)
            num_held += len(ids)
            if num_held >= wanted:
                flat = np.concatenate(held)
                for start in range(0, num_held - wanted + 1, wanted):
                    yield flat[start : start + wanted].reshape(-1, self.seq_len)
                # A copy: of all that was held, only the rest is kept.
                held = [flat[num_held - num_held % wanted :].copy()]
                num_held = len(held[0])
        flat = np.concatenate(held)
        whole = num_held - num_held % self.seq_len
        self._carried = flat[whole:].copy()
        if whole:
            yield flat[:whole].reshape(-1, self.seq_len)

    def _batch(self, sequences: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
        import pyarrow as pa

        offsets = pa.array(np.arange(0, sequences.size + 1, self.seq_len, dtype=np.int32))
        lists = pa.ListArray.from_arrays(offsets, pa.array(sequences.reshape(-1)), type=schema.field(0).type)
        return pa.RecordBatch.from_arrays([lists], schema=schema)


class MegatronSink(TokenSink):
    """Megatron's indexed data sets: ids in ``.bin``, and in ``.idx`` where each document lies.

    The layout of ``.idx``, little-endian: ``MMIDIDX`` and two zeros, a version (u64), the ids' type (u8), the numbers
    of sequences and of document indices (u64), then lengths (i32), places (i64) and document indices (i64).
    """

    title = "writing megatron"
    suffixes: tuple[str, ...] = (".bin", ".idx")

    def __init__(self, column: str, stored: np.dtype[Any]) -> None:
        super().__init__(column, np.dtype("uint16" if stored.name in ("uint8", "uint16") else "int32"))

    def write(self, first_row: int, is_last: bool, blocks: Iterable[pa.Table], *paths: Path) -> dict[str, Any] | None:
        """Writes a pair: each row is a document of one sequence."""
        ids_path, index_path = paths
        sizes: list[np.ndarray] = []
        with Outflow(ids_path) as file:
            for ids, lengths in self._ids(blocks):
                file.write(ids)
                sizes.append(_fitting(lengths))
            joined = np.concatenate([np.empty(0, np.int32), *sizes])
            index = self._index(joined, index_path)
        return {"files": [file, index], "num_tokens": int(joined.sum(dtype=np.int64))}

    def _index(self, joined: np.ndarray, path: Path) -> Outflow:
        ends = np.cumsum(joined, dtype=np.int64)
        header = struct.pack("<9sQBQQ", _IDX_MAGIC, _IDX_VERSION, _IDX_DTYPES[self.dtype.name], len(joined),
                             len(joined) + 1)  # fmt: skip
        with Outflow(path) as index:
            index.write(header)
            index.write(joined.astype("<i4"))
            index.write(((ends - joined) * self.dtype.itemsize).astype("<i8"))
            index.write(np.arange(len(joined) + 1, dtype="<i8"))
        return index


def _fitting(lengths: np.ndarray) -> np.ndarray:
    if len(lengths) and lengths.max() >= 1 << 31:
        raise SchemaMismatchError(f"a document of {lengths.max():,} tokens has no place in Megatron's index of 32 bits")
    return lengths.astype(np.int32)


class StreamSink(TokenSink):
    """Flat streams of ids, one document after the other: nanoGPT's bare ones, or llm.c's with a header."""

    suffixes: tuple[str, ...] = (".bin",)

    def __init__(self, column: str, stored: np.dtype[Any], *, has_header: bool) -> None:
        self.has_header, self.title = has_header, f"writing {'llm.c' if has_header else 'nanogpt'}"
        # llm.c knows 32 bits too; a bare stream says nothing of its type, and 16 is what its readers take for granted.
        wide = has_header and stored.name in ("uint32", "int64", "uint64")
        super().__init__(column, np.dtype("uint32" if wide else "uint16"))

    def write(self, first_row: int, is_last: bool, blocks: Iterable[pa.Table], *paths: Path) -> dict[str, Any] | None:
        """Writes one stream."""
        if self.has_header:
            return {"num_tokens": self._with_header(blocks, paths[0])}
        num_tokens = 0
        with Outflow(paths[0]) as file:
            for ids, _ in self._ids(blocks):
                file.write(ids)
                num_tokens += len(ids)
        return {"files": [file], "num_tokens": num_tokens}

    def _with_header(self, blocks: Iterable[pa.Table], path: Path) -> int:
        """Writes the header last: only then its count is known, so that the file is hashed from the disk."""
        num_tokens = 0
        with open(path, "wb") as file:
            file.write(bytes(4 * _LLMC_WORDS))
            for ids, _ in self._ids(blocks):
                file.write(ids.data)
                num_tokens += len(ids)
            file.seek(0)
            file.write(struct.pack("<3i", *_LLMC[self.dtype.name], self._counted(num_tokens)))
        return num_tokens

    @staticmethod
    def _counted(num_tokens: int) -> int:
        if num_tokens > _LLMC_MOST:
            raise SchemaMismatchError(
                f"llm.c's header counts {_LLMC_MOST:,} tokens at most, and this shard has {num_tokens:,}; "
                "ask for more shards"
            )
        return num_tokens
