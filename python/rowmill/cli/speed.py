"""How fast rows come: rowmill, pyarrow's plain read of the same files, and another loader where it is asked for."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import RowmillError

if TYPE_CHECKING:
    from rowmill import Dataset
    from rowmill.cli.progress import Report

__all__ = ["FILL_NULL", "Measured", "Way", "measure", "require", "ways_of"]

# Read before anything is measured, so that no way pays for the others' page cache.
_WARM_BYTES = 2 << 30
# What stands for nulls in numeric columns of batches: data with some can be measured as well.
FILL_NULL = 0
# Items between two looks at the clock.
_STRIDE = 32
# What `datasets` users write, and its default.
_BUFFER_ROWS = 1000


@dataclass(frozen=True)
class Way:
    """One way to read: an iterable of a pass over all rows, and how many rows each of its items has."""

    reader: str
    what: str
    make: Callable[[], Iterable[Any]]
    rows_of: Callable[[Any], int]


@dataclass(frozen=True)
class Measured:
    """What came of it."""

    reader: str
    what: str
    num_rows: int
    seconds: float
    first_seconds: float
    rows_per_second: float
    bytes_per_second: float

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def ways_of(
    ds: Dataset,
    *,
    columns: Sequence[str] | None,
    batch_size: int,
    seed: int,
    lanes: int | None,
    threads: int | None,
    compare: Sequence[str],
) -> list[Way]:
    """The ways to measure; the loaders to compare with have been required."""
    paths = [str(shard["path"]) for shard in ds._plan.source.rust.shards()]
    chosen = ds.select_columns(columns) if columns else ds
    names, plain = chosen.column_names, "tarfile" if _kind(paths[0]) == "tar" else "pyarrow"
    shuffled = chosen.shuffle(seed, num_lanes=lanes)
    batches = shuffled.batch(batch_size, fill_null=FILL_NULL)
    ways = [
        Way("rowmill", f"batches of {batch_size}, shuffled", lambda: _closing(batches, threads), _rows_of_dict),
        Way("rowmill", "rows as dicts, shuffled", lambda: _closing(shuffled, threads), _one),
        Way(plain, "record batches, in file order", lambda: _record_batches(paths, names), _rows_of_batch),
        Way(plain, "rows as dicts, in file order", lambda: _pyarrow_rows(paths, names), _one),
    ]
    if "datasets" in compare:
        stream = _datasets_stream(paths, names, seed)
        ways.append(Way("datasets", "rows as dicts, shuffled", lambda: stream, _one))
    return ways


def measure(ways: Sequence[Way], ds: Dataset, seconds: float, report: Report) -> list[Measured]:
    """Measures each way for ``seconds``, over as many passes as that takes."""
    source = ds._plan.source.rust
    _warm([Path(shard["path"]) for shard in source.shards()])
    bytes_per_row = source.num_bytes / max(source.num_rows, 1)
    made = []
    for index, way in enumerate(ways):
        done = index * seconds

        def tell(elapsed: float, done: float = done) -> None:
            report(done + min(elapsed, seconds), len(ways) * seconds)

        made.append(_measure(way, seconds, bytes_per_row, tell))
    return made


def _measure(way: Way, seconds: float, bytes_per_row: float, tell: Callable[[float], None]) -> Measured:
    # Imports and what a library makes once are not the reading's.
    with _closed(way.make()) as items:
        next(items, None)
    num_rows, first, begun = 0, None, time.perf_counter()
    elapsed = 0.0
    while elapsed < seconds:
        before = num_rows
        with _closed(way.make()) as items:
            for item in items:
                num_rows += way.rows_of(item)
                first = first or time.perf_counter() - begun
                num_rows += sum(map(way.rows_of, islice(items, _STRIDE)))
                elapsed = time.perf_counter() - begun
                tell(elapsed)
                if elapsed >= seconds:
                    break
        elapsed = time.perf_counter() - begun
        if num_rows == before:
            break
    rate = num_rows / max(elapsed, 1e-9)
    return Measured(way.reader, way.what, num_rows, elapsed, first or elapsed, rate, rate * bytes_per_row)


@contextmanager
def _closed(made: Iterable[Any]) -> Iterator[Iterator[Any]]:
    """An iterator whose threads and files end here, not whenever the collector comes."""
    items = iter(made)
    try:
        yield items
    finally:
        getattr(items, "close", lambda: None)()


def _warm(paths: Iterable[Path]) -> None:
    left, chunk = _WARM_BYTES, 8 << 20
    for path in paths:
        with path.open("rb") as file:
            while left > 0 and (read := len(file.read(chunk))):
                left -= read


def _closing(ds: Dataset, threads: int | None) -> Iterator[Any]:
    with ds.loader(num_threads=threads) as loader:
        yield from loader


def _one(item: Any) -> int:
    return 1


def _rows_of_batch(batch: Any) -> int:
    return int(batch.num_rows)


def _rows_of_dict(batch: dict[str, Any]) -> int:
    return len(next(iter(batch.values()), ()))


def _kind(path: str) -> str:
    """The format of a file, of those that are read as they lie."""
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow file"
    # Streams from before Arrow 0.15 begin with a length, tars with a name.
    is_stream = head.startswith(b"\xff\xff\xff\xff") or (len(head) > 3 and head[2:4] == b"\0\0")
    return "arrow stream" if is_stream else "tar"


def _record_batches(paths: Iterable[str], names: list[str]) -> Iterator[Any]:
    """Every file by the plain means of its format, one after the other."""
    for path in paths:
        kind = _kind(path)
        if kind == "parquet":
            yield from _parquet(path, names)
        elif kind == "tar":
            yield from _tar(path)
        else:
            yield from _ipc(path, names, is_file=kind == "arrow file")


def _parquet(path: str, names: list[str]) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, memory_map=True) as file:
        # A hive partition is no column of the file.
        yield from file.iter_batches(columns=[name for name in names if name in file.schema_arrow.names])


def _ipc(path: str, names: list[str], *, is_file: bool) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(path) as source:
        if is_file:
            reader = pa.ipc.open_file(source)
            yield from (reader.get_batch(index).select(names) for index in range(reader.num_record_batches))
        else:
            yield from (batch.select(names) for batch in pa.ipc.open_stream(source))


def _tar(path: str) -> Iterator[Any]:
    """pyarrow reads no tar: the standard library's own reader, members of one key together."""
    import tarfile

    import pyarrow as pa

    with tarfile.open(path) as tar:
        key: str | None = None
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is None:
                continue
            stream.read()
            found = member.name.partition(".")[0]
            if found != key:
                key = found
                yield pa.RecordBatch.from_pydict({"__key__": [key]})


def _pyarrow_rows(paths: Iterable[str], names: list[str]) -> Iterator[Any]:
    for batch in _record_batches(paths, names):
        yield from batch.to_pylist()


def require(name: str) -> None:
    """Checks the name of a loader to compare with.

    Raises:
        ValueError: It is not known here.
        RowmillError: It is not installed.
    """
    if name != "datasets":
        raise ValueError(f"--compare knows datasets, not {name!r}; `make bench` measures more loaders")
    if importlib.util.find_spec(name) is None:
        raise RowmillError(f"--compare {name} needs it installed: pip install {name}")


def _datasets_stream(paths: list[str], names: list[str], seed: int) -> Iterable[Any]:
    import datasets

    builder = {"parquet": "parquet", "tar": "webdataset"}.get(_kind(paths[0]), "arrow")
    stream = datasets.load_dataset(builder, data_files=paths, split="train", streaming=True)
    stream = stream if builder == "webdataset" else stream.select_columns(names)
    # Images as bytes, as rowmill hands them out; older versions have no way to say so.
    stream = stream.decode(False) if hasattr(stream, "decode") else stream
    shuffled: Iterable[Any] = stream.shuffle(seed=seed, buffer_size=_BUFFER_ROWS)
    return shuffled
