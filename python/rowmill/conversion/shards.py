"""``rowmill.convert``: any data set into shards of another format, whole or resumable, with a count that is exact."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rowmill.conversion.disk_errors import explained
from rowmill.conversion.layout import Layout
from rowmill.conversion.row_blocks import schema_of
from rowmill.conversion.sinks import SUFFIXES, Sink
from rowmill.conversion.writing import row_sizes, write_shards
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["convert"]

Format = Literal["arrow", "parquet", "webdataset", "megatron", "nanogpt", "llmc"]
_NUM_SHARDS = 100
# Workers of other loaders share shards evenly where their number divides that of the shards.
_MOST_WORKERS = 8


def convert(
    source: Dataset | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    to: Format,
    columns: Sequence[str] | None = None,
    shuffle: int | None = None,
    num_shards: int | None = None,
    shard_bytes: int | None = None,
    column: str = "input_ids",
) -> dict[str, Any]:
    """Writes a data set's rows, in order, as shards of a format, with a ``dataset.json`` of exact counts.

    Each shard is written whole or not at all. After a kill the same call goes on behind the last finished shard;
    its result is that of a run that was never stopped.

    Args:
        source: An opened dataset (without ``.batch``, ``.filter``, or a batched ``.map``), or paths to open.
        out: The folder to write; new, empty, or holding this very conversion, unfinished.
        to: "arrow" (IPC streams, as `datasets` writes them), "parquet", "webdataset" (tar files); or, of a column of
            token ids alone, "megatron", "nanogpt" or "llmc" as in ``tokenize``.
        columns: Only these columns.
        shuffle: Seed of a window shuffle; storage order when None.
        num_shards: Shards; 100, or as many as there are rows, when None. Their rows differ by one at most. Of token
            files as many as in ``tokenize``.
        shard_bytes: About so many bytes of the source in each shard, instead of ``num_shards``.
        column: Where the ids of token files are.

    Returns:
        What stands in ``dataset.json``: format, ``num_rows`` (``estimated_size`` for other tools), ``shards`` with
        rows, bytes and SHA-256 each, the schema, and ``num_workers``, a number that divides the shards evenly.

    Raises:
        FileExistsError: ``out`` holds something else, or a finished data set.
        StateMismatchError: ``out`` holds an unfinished conversion of other data or settings.
        SchemaMismatchError: The format has no place for a column, or the rows that a function makes differ in their
            types; those of the first rows are the schema.
        AccessDeniedError: ``out`` cannot be written.
        OSError: There is no room left; what is finished stays, and the same call goes on behind it.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder + "/arrow", num_shards=2)
        ...     made = rowmill.convert(files, folder + "/parquet", to="parquet", num_shards=4)
        >>> made["num_shards"], made["num_rows"] == sum(shard["num_rows"] for shard in made["shards"])
        (4, True)
    """
    formats = get_args(Format)
    if to not in formats:
        raise ValueError(f"to must be one of {', '.join(formats)}, not {to!r}")
    if to not in SUFFIXES:
        from rowmill.conversion.tokens import write_stored

        return write_stored(rows_of(source, columns, shuffle), Path(out), to, column, num_shards, shard_bytes)
    dataset = rows_of(source, columns, shuffle)
    schema = schema_of(dataset)
    sizes = sizes_of(dataset, num_shards, shard_bytes)
    folder = Path(out)
    with explained(
        folder,
        closed="choose another folder, or mind its rights",
        full="make some and give the same call again: it goes on behind the last shard that is there",
    ):
        return _write(dataset, folder, to, schema, sizes)


def _write(dataset: Dataset, folder: Path, to: Format, schema: pa.Schema, sizes: list[int]) -> dict[str, Any]:
    layout = Layout.of(schema) if to == "webdataset" else None
    facts = {**_facts(dataset, to, schema, layout), "num_workers": suggested_workers(len(sizes))}
    return write_shards(
        dataset, folder, schema, sizes, settings_of(dataset, to, len(sizes)), Sink(to, schema, layout), facts
    )


def rows_of(source: Any, columns: Sequence[str] | None, shuffle: int | None) -> Dataset:
    """The rows to write, as one rank reads them, whatever job this process is part of."""
    from rowmill.dataset import Dataset
    from rowmill.opening import open

    dataset = source if isinstance(source, Dataset) else open(source)
    plan = dataset._plan
    if plan.pipeline.is_laned or plan.pipeline.batch is not None or plan.num_epochs is not None:
        raise SchemaMismatchError(
            "convert takes rows whose number is known: a dataset without .batch, .repeat, .filter and batched .map"
        )
    if plan.rank is None:
        dataset = dataset.shard(1, 0)
    dataset = dataset if shuffle is None else dataset.shuffle(shuffle)
    return dataset if columns is None else dataset.select_columns(list(columns))


def sizes_of(dataset: Dataset, num_shards: int | None, shard_bytes: int | None) -> list[int]:
    """Rows of each shard, as the arguments of ``convert`` say."""
    for name, value in (("num_shards", num_shards), ("shard_bytes", shard_bytes)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a positive integer, not {value!r}")
    if num_shards is not None and shard_bytes is not None:
        raise ValueError("num_shards and shard_bytes both say how large shards are; give one")
    return row_sizes(dataset, num_shards, shard_bytes, usual_shards=_NUM_SHARDS)


def settings_of(dataset: Dataset, to: str, num_shards: int) -> dict[str, Any]:
    """What two calls must have in common for one to go on where the other stopped."""
    plan = dataset._plan
    return {
        "to": to,
        "num_shards": num_shards,
        "source fingerprint": dataset.fingerprint,
        "columns": dataset.column_names,
        "order": plan.order.as_dict(),
        "epoch": dataset.epoch,
        "pipeline": list(plan.pipeline.description),
        "num_rows": len(dataset),
    }


def _facts(dataset: Dataset, to: str, schema: pa.Schema, layout: Layout | None) -> dict[str, Any]:
    order = dataset._plan.order
    return {
        "format": to,
        "schema": {field.name: str(field.type) for field in schema},
        **({} if layout is None else {"members": layout.describe()}),
        "source_fingerprint": dataset.fingerprint,
        "order": order.as_dict(),
    }


def suggested_workers(num_shards: int) -> int:
    """The largest number of workers, eight at most, that share ``num_shards`` evenly."""
    return max(number for number in range(1, _MOST_WORKERS + 1) if num_shards % number == 0)
