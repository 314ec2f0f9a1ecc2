"""The methods of a Dataset that hand it to other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from rowmill.hub.pushing import Pushed

__all__ = ["Exports"]


class Exports:
    """What other libraries take of a dataset; each call reads anew, in the order of its epoch."""

    def push_to_hub(self, repo: str, **options: Any) -> Pushed:
        """Pushes the rows, in this order, to a data set repository in one commit, and verifies that they arrived.

        Args:
            repo: "owner/name"; made, private, where it is not there.
            options: As for ``rowmill.hub.push``: split, config, columns, column, license, private, tag, message,
                shard_bytes, deep, token.
        """
        from rowmill.hub.pushing import push

        return push(self, repo, **options)

    def to_hf(self) -> datasets.IterableDataset:
        """The rows as a ``datasets.IterableDataset``, with the features and a state that resumes exactly.

        Its rows are those of this dataset in this order; images and audio come decoded, as ``datasets`` does it. All
        ranks' rows, unless ``.shard`` says otherwise: whoever takes an IterableDataset deals it out itself.
        ``state_dict`` and ``load_state_dict`` cost O(1); ``split_dataset_by_node`` and DataLoader workers take
        their share of any number. After its ``set_epoch(e)`` the order is that of ``set_epoch(e)`` here. What
        ``datasets`` makes of it (``.map``, ``.filter``, ...) begins at epoch 0 again, as all of theirs do.

        Rows that pass through no Python function are read as Arrow tables: ``.with_format("arrow")`` or "polars",
        ``.iter(batch_size)``, batched ``.map`` and ``.to_parquet`` take these as they are.

        Returns:
            A dataset over the rows; leave ``.batch`` out before it.

        Example:
            >>> import rowmill, tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     files = rowmill.demo.write_shards(folder, num_shards=2)
            ...     rows = rowmill.open(folder, index_dir=folder).shuffle(seed=1).to_hf()
            ...     first = next(iter(rows))
            >>> sorted(first) == sorted(rows.features)
            True
        """
        from rowmill.interop.examples import to_hf

        return to_hf(self)  # type: ignore[arg-type]

    def to_reader(self, batch_size: int | None = None) -> pa.RecordBatchReader:
        """One pass over this rank's rows as Arrow record batches, in this order and with bounded memory.

        polars, DuckDB and pyarrow take the dataset itself as well: ``pl.DataFrame(ds)``, ``pa.table(ds)``, and
        ``duckdb.sql("select ... from ds")``. (``pl.from_arrow(ds)`` makes one column of structs of it, as polars does
        with any such object; ``pl.from_arrow(ds.to_reader())`` makes a frame.)

        Args:
            batch_size: Rows of a record batch, 1,000 when None; those of ``.batch`` where there is one.

        Example:
            >>> import rowmill, tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     files = rowmill.demo.write_shards(folder, num_shards=2)
            ...     ds = rowmill.open(folder, index_dir=folder)
            ...     num_rows = sum(batch.num_rows for batch in ds.to_reader(batch_size=100))
            >>> num_rows == len(ds)
            True
        """
        from rowmill.interop.reader import to_reader

        return to_reader(self, batch_size)  # type: ignore[arg-type]

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        """The Arrow stream of :meth:`to_reader`, for any library that speaks the Arrow PyCapsule interface."""
        return self.to_reader().__arrow_c_stream__(requested_schema)
