"""The same rows in every peer's own format, made once under an ignored folder.

Token rows: 2048 int32 each, a list column in HF-style Arrow streams of 1000-row batches. Text rows: `id`,
`text`, `num_bytes`, about three kilobytes of real text each. `--scale 1` is about a gigabyte of either. WebDataset
samples: ten kilobytes and a class each, half a gigabyte.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SEQ_LEN = 2048
BATCH_SIZE = 8
BATCH_BYTES = BATCH_SIZE * SEQ_LEN * 4
ROWS_A_BLOCK = 1000
VOCABULARY = 50_257
NUM_SHARDS = 8
TOKEN_ROWS = 128_000
TEXT_BYTES = 1_000_000_000
TEXT_ROW_BYTES = 3000  # as web documents have; more rows of fewer bytes measure Python, not loaders
SMALL_SHARDS = 10_000
SMALL_PARQUET = 2_000
HUGE_ROWS = 1_000_000_000
SAMPLES = 50_000
SAMPLE_BYTES = 10_000  # a small image
# Bump it when what is written changes: old folders are then made again.
VERSION = 1


def cache_folder() -> Path:
    """Where corpora lie; ROWMILL_BENCH_CACHE names another place."""
    return Path(os.environ.get("ROWMILL_BENCH_CACHE", ROOT / ".cache" / "bench"))


def documents_folder() -> Path | None:
    """Parquet files with a column `text`, where ROWMILL_BENCH_DOCUMENTS names some: text instead of our own source."""
    named = os.environ.get("ROWMILL_BENCH_DOCUMENTS")
    return Path(named) if named else None


@dataclass(frozen=True)
class Corpus:
    """Paths of one scale's corpora; each property makes its files when they are not there."""

    scale: float = 1.0

    @property
    def folder(self) -> Path:
        named = documents_folder()
        return cache_folder() / f"v{VERSION}-scale-{self.scale:g}{'' if named is None else f'-{named.name}'}"

    @property
    def token_rows(self) -> int:
        return max(int(TOKEN_ROWS * self.scale) // 8_000, 1) * 8_000

    @property
    def tokens_arrow(self) -> list[str]:
        folder = self.made("tokens-arrow", lambda to: write_tokens_arrow(self, to))
        return sorted(str(path) for path in folder.glob("*.arrow"))

    @property
    def tokens_cold(self) -> list[str]:
        """Four times as many: of one gigabyte every lane's first window is all there is."""
        return Corpus(self.scale * 4).tokens_arrow

    @property
    def tokens_bin(self) -> str:
        return str(self.made("tokens-bin", lambda to: write_tokens_bin(self, to)) / "tokens.bin")

    @property
    def tokens_mds(self) -> str:
        return str(self.made("tokens-mds", lambda to: write_tokens_mds(self, to)))

    @property
    def tokens_litdata(self) -> str:
        return str(self.made("tokens-litdata", lambda to: write_tokens_litdata(self, to)))

    @property
    def text_arrow(self) -> list[str]:
        folder = self.made("text-3k-arrow", lambda to: write_text_arrow(self, to))
        return sorted(str(path) for path in folder.glob("*.arrow"))

    @property
    def text_jsonl(self) -> str:
        return str(self.made("text-3k-jsonl", lambda to: write_text_jsonl(self, to)) / "text.jsonl")

    @property
    def text_mds(self) -> str:
        return str(self.made("text-3k-mds", lambda to: write_text_mds(self, to)))

    @property
    def samples_tar(self) -> list[str]:
        folder = self.made("samples-tar", lambda to: write_samples_tar(self, to))
        return sorted(str(path) for path in folder.glob("*.tar"))

    @property
    def text_snappy(self) -> list[str]:
        folder = self.made("text-3k-snappy", lambda to: write_text_parquet(self, to, "snappy"))
        return sorted(str(path) for path in folder.glob("*.parquet"))

    @property
    def text_zstd(self) -> list[str]:
        folder = self.made("text-3k-zstd", lambda to: write_text_parquet(self, to, "zstd"))
        return sorted(str(path) for path in folder.glob("*.parquet"))

    @property
    def wide_parquet(self) -> str:
        return str(self.made("wide-80-parquet", lambda to: write_wide_parquet(self, to)))

    @property
    def large_groups(self) -> str:
        return str(self.made("large-groups", lambda to: write_large_groups(self, to)))

    @property
    def small_parquet(self) -> str:
        return str(self.made("small-parquet", lambda to: write_small_parquet(self, to)))

    @property
    def small_shards(self) -> str:
        return str(self.made("small-shards", lambda to: write_small_shards(self, to)))

    @property
    def huge(self) -> str:
        return str(self.made("huge", lambda to: write_huge(self, to)))

    def made(self, name: str, write: Callable[[Path], None]) -> Path:
        """Writes beside, then renames: a run that was stopped leaves no half corpus behind."""
        final = self.folder / name
        if not final.exists():
            part = self.folder / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            write(part)
            part.rename(final)
        return final


def token_blocks(corpus: Corpus) -> Iterator[np.ndarray]:
    """Blocks of 1000 token rows, the same for every format; low ids are common, as in real text."""
    for block in range(corpus.token_rows // ROWS_A_BLOCK):
        rng = np.random.default_rng([VERSION, block])
        draws = rng.random((ROWS_A_BLOCK, SEQ_LEN), dtype=np.float32)
        yield (VOCABULARY * draws**3).astype(np.int32)


def write_tokens_arrow(corpus: Corpus, folder: Path) -> None:
    """HF-style stream shards of list<int32> rows."""
    import pyarrow as pa

    schema = pa.schema({"input_ids": pa.list_(pa.int32())})
    blocks_a_shard = corpus.token_rows // ROWS_A_BLOCK // NUM_SHARDS
    offsets = pa.array(np.arange(0, (ROWS_A_BLOCK + 1) * SEQ_LEN, SEQ_LEN, dtype=np.int32))
    writer = None
    for index, block in enumerate(token_blocks(corpus)):
        shard, place = divmod(index, blocks_a_shard)
        if place == 0:
            if writer:
                writer.close()
            writer = pa.ipc.new_stream(str(folder / f"tokens-{shard:05d}.arrow"), schema)
        column = pa.ListArray.from_arrays(offsets, pa.array(block.reshape(-1)))
        writer.write_batch(pa.record_batch([column], schema=schema))
    writer.close()


def write_tokens_bin(corpus: Corpus, folder: Path) -> None:
    """One flat file of int32, for np.memmap."""
    with open(folder / "tokens.bin", "wb") as out:
        for block in token_blocks(corpus):
            out.write(block.tobytes())


def write_tokens_mds(corpus: Corpus, folder: Path) -> None:
    """MosaicML's shards."""
    from peers.mosaicml import MDSWriter

    shutil.rmtree(folder)
    with MDSWriter(out=str(folder), columns={"input_ids": f"ndarray:int32:{SEQ_LEN}"}) as writer:
        for block in token_blocks(corpus):
            for row in block:
                writer.write({"input_ids": row})


def write_tokens_litdata(corpus: Corpus, folder: Path) -> None:
    """Chunks for litData's TokensLoader."""
    from litdata import TokensLoader
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_bytes="64MB", item_loader=TokensLoader(block_size=SEQ_LEN))
    index = 0
    for block in token_blocks(corpus):
        for row in block:
            writer.add_item(index, litdata_tensor(row))
            index += 1
    writer.done()
    writer.merge()


def litdata_tensor(row: np.ndarray) -> object:
    """A row as litData's token writer wants it."""
    import torch

    return torch.from_numpy(row)


def source_texts() -> list[str]:
    """Real text: a Parquet corpus beside the checkout, or else this repository's own words."""
    shards = sorted((ROOT.parent / "shared" / "data" / "rust-docs").glob("*.parquet"))
    if shards:
        import pyarrow.parquet as pq

        return [text for shard in shards for text in pq.read_table(shard, columns=["text"])["text"].to_pylist()]
    paths = (path for suffix in ("md", "rs", "py") for path in sorted(ROOT.glob(f"[!.]*/**/*.{suffix}")))
    return [path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *paths]]


def text_pieces() -> list[str]:
    """The source cut at line ends into rows of about three kilobytes, or documents as they are."""
    named = documents_folder()
    if named is not None:
        import pyarrow.parquet as pq

        return pq.read_table(named, columns=["text"]).column("text").to_pylist()
    pieces: list[str] = []
    for text in source_texts():
        held: list[str] = []
        size = 0
        for line in text.splitlines(keepends=True):
            held.append(line)
            size += len(line)
            if size >= TEXT_ROW_BYTES:
                pieces.append("".join(held))
                held, size = [], 0
        if held:
            pieces.append("".join(held))
    return pieces


def text_blocks(corpus: Corpus) -> Iterator[dict[str, list[object]]]:
    """Blocks of 1000 text rows; the source is gone through again, with other ids, until there is enough."""
    pieces = text_pieces()
    wanted, written, row = TEXT_BYTES * corpus.scale, 0, 0
    while written < wanted:
        texts = [pieces[(row + step) % len(pieces)] for step in range(ROWS_A_BLOCK)]
        sizes = [len(text.encode()) for text in texts]
        ids = [hashlib.blake2b(f"{row + step}".encode(), digest_size=8).hexdigest() for step in range(ROWS_A_BLOCK)]
        yield {"id": list(ids), "text": list(texts), "num_bytes": list(sizes)}
        written += sum(sizes)
        row += ROWS_A_BLOCK


def write_text_arrow(corpus: Corpus, folder: Path) -> None:
    """HF-style stream shards of text rows."""
    import pyarrow as pa

    schema = pa.schema({"id": pa.string(), "text": pa.string(), "num_bytes": pa.int64()})
    writers = [pa.ipc.new_stream(str(folder / f"text-{shard:05d}.arrow"), schema) for shard in range(NUM_SHARDS)]
    for index, block in enumerate(text_blocks(corpus)):
        writers[index % NUM_SHARDS].write_batch(pa.record_batch(block, schema=schema))
    for writer in writers:
        writer.close()


def write_text_jsonl(corpus: Corpus, folder: Path) -> None:
    """One file, an object a line."""
    with open(folder / "text.jsonl", "w", encoding="utf-8") as file:
        for block in text_blocks(corpus):
            for values in zip(*block.values(), strict=True):
                file.write(json.dumps(dict(zip(block, values, strict=True)), ensure_ascii=False) + "\n")


def write_text_parquet(corpus: Corpus, folder: Path, codec: str) -> None:
    """The text rows in row groups of a thousand, as FineWeb's are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"id": pa.string(), "text": pa.string(), "num_bytes": pa.int64()})
    paths = [str(folder / f"text-{shard:05d}.parquet") for shard in range(NUM_SHARDS)]
    writers = [pq.ParquetWriter(path, schema, compression=codec) for path in paths]
    for index, block in enumerate(text_blocks(corpus)):
        writers[index % NUM_SHARDS].write_batch(pa.record_batch(block, schema=schema), row_group_size=ROWS_A_BLOCK)
    for writer in writers:
        writer.close()


def write_wide_parquet(corpus: Corpus, folder: Path) -> None:
    """Ten columns of 80 bytes that do not compress: of narrow ones the rows' bookkeeping would be what is measured."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, width = max(int(500_000 * corpus.scale), 10_000), 80
    rng = np.random.default_rng(VERSION)

    def column() -> pa.Array:
        return pa.Array.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(rng.bytes(rows * width))])

    table = pa.table({f"c{index}": column() for index in range(10)})
    pq.write_table(table, folder / "wide.parquet", row_group_size=10_000, use_dictionary=False)


def write_large_groups(corpus: Corpus, folder: Path) -> None:
    """Row groups of 100 MB of text, half of the files with a page index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    blocks: list[pa.RecordBatch] = []
    count = num_bytes = 0
    for block in text_blocks(Corpus(max(corpus.scale, 0.2) * 1.5)):
        blocks.append(pa.record_batch(block))
        num_bytes += blocks[-1].nbytes
        if num_bytes >= 100_000_000:
            table = pa.Table.from_batches(blocks)
            path = folder / f"large-{count:03d}.parquet"
            pq.write_table(
                table, path, compression="zstd", row_group_size=table.num_rows, write_page_index=count % 2 == 0
            )
            blocks, count, num_bytes = [], count + 1, 0


def write_small_parquet(corpus: Corpus, folder: Path) -> None:
    """Two thousand files of ten row groups of three columns: what opening costs, and nothing else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = range(1000)
    table = pa.table({"id": list(rows), "text": [f"row {row}" for row in rows], "score": [row / 3 for row in rows]})
    for shard in range(max(int(SMALL_PARQUET * corpus.scale), 10)):
        pq.write_table(table, folder / f"part-{shard:05d}.parquet", row_group_size=100)


def write_text_mds(corpus: Corpus, folder: Path) -> None:
    """MosaicML's shards."""
    from peers.mosaicml import MDSWriter

    shutil.rmtree(folder)
    with MDSWriter(out=str(folder), columns={"id": "str", "text": "str", "num_bytes": "int"}) as writer:
        for block in text_blocks(corpus):
            for values in zip(*block.values(), strict=True):
                writer.write(dict(zip(block, values, strict=True)))


def write_samples_tar(corpus: Corpus, folder: Path) -> None:
    """WebDataset shards of two members a sample: ten kilobytes that do not compress, and a class."""
    samples = max(int(SAMPLES * corpus.scale) // NUM_SHARDS, 10)
    for shard in range(NUM_SHARDS):
        rng = np.random.default_rng([VERSION, shard])
        with tarfile.open(folder / f"samples-{shard:05d}.tar", "w", format=tarfile.GNU_FORMAT) as tar:
            for index in range(samples):
                key = f"{shard:05d}/{index:08d}"
                add_member(tar, f"{key}.jpg", rng.bytes(SAMPLE_BYTES))
                add_member(tar, f"{key}.cls", str(index % 1000).encode())


def add_member(tar: tarfile.TarFile, name: str, value: bytes) -> None:
    """One file of an archive."""
    info = tarfile.TarInfo(name)
    info.size = len(value)
    tar.addfile(info, io.BytesIO(value))


def write_small_shards(corpus: Corpus, folder: Path) -> None:
    """Ten thousand shards of two small batches: what opening costs, and nothing else."""
    import pyarrow as pa

    batch = pa.record_batch({"id": list(range(20)), "text": [f"row {row}" for row in range(20)]})
    count = max(int(SMALL_SHARDS * corpus.scale), 10)
    for shard in range(count):
        with pa.ipc.new_stream(str(folder / f"part-{shard:05d}-of-{count:05d}.arrow"), batch.schema) as writer:
            writer.write_batch(batch)
            writer.write_batch(batch)


def write_huge(corpus: Corpus, folder: Path) -> None:
    """A billion rows in a million blocks of one column of bytes."""
    import pyarrow as pa

    batch = pa.record_batch({"byte": pa.array(np.zeros(ROWS_A_BLOCK, dtype=np.uint8))})
    blocks_a_shard = max(int(HUGE_ROWS * corpus.scale) // ROWS_A_BLOCK // 100, 1)
    for shard in range(100):
        with pa.ipc.new_stream(str(folder / f"huge-{shard:03d}.arrow"), batch.schema) as writer:
            for _ in range(blocks_a_shard):
                writer.write_batch(batch)


def read_once(paths: list[str]) -> int:
    """Brings files into the page cache; returns their size."""
    total = 0
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(1 << 22):
                total += len(chunk)
    return total
