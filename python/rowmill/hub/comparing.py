"""What is on the Hub beside what it was made of: file by file, by what its push wrote down, or row by row."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import RowmillError
from rowmill.hub.listing import HubFile, Listing, hash_of
from rowmill.hub.manifests import Manifest, SentSplit
from rowmill.hub.report import Report
from rowmill.hub.staging import find_splits, recipe_of
from rowmill.hub.writing import Writer

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["Comparison", "brief"]


class Comparison:
    """One comparison with data here; what differs goes into the report.

    ``rows`` and ``columns`` are those of the Parquet files, as their footers say.
    """

    def __init__(
        self,
        client: Writer,
        sha: str,
        listing: Listing,
        rows: Mapping[str, int],
        columns: Mapping[str, list[str]],
        report: Report,
    ) -> None:
        self.client, self.sha, self.listing, self.report = client, sha, listing, report
        self._rows, self._columns = rows, columns

    def own_files(self, against: Any, promised: Container[str]) -> bool:
        """File by file, where the folder's data files have the names that the repository has; whether that was so."""
        folder = Path(against) if isinstance(against, str | os.PathLike) else None
        if folder is None or not folder.is_dir():
            return False
        own = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        own = {name: path for name, path in own.items() if not any(part.startswith(".") for part in name.split("/"))}
        data = [name for name in own if name.endswith((".parquet", ".tar", ".arrow"))]
        # What a push has made anew has the same rows under the same names, and other bytes.
        if not any(name in self.listing and name not in promised for name in data):
            return False
        for name in data:
            self._compare_file(name, own[name], self.listing.get(name))
        others = [name for name in self.listing if name.endswith((".parquet", ".tar", ".arrow")) and name not in own]
        self.report.warnings += [f"{name} is there and not in {folder}" for name in others]
        return True

    def splits(
        self,
        against: Any,
        config: str,
        there: Mapping[str, Sequence[str]],
        sent: Manifest,
        columns: Sequence[str] | None,
        deep: bool,
    ) -> None:
        """Split by split: tars by their bytes, rows by what their push wrote down or, deeply, one by one.

        Args:
            against: What was pushed.
            config: The configuration that it is.
            there: The files of its splits.
            sent: What the push wrote down.
            columns: The columns that were pushed; all when None.
            deep: Read everything.
        """
        for name, dataset in find_splits(against, None, config).items():
            paths = there.get(name, [])
            dataset = dataset if columns is None else dataset.select_columns(list(columns))
            if not paths:
                self.report.problems.append(f"there is no split {name}")
            elif paths[0].endswith(".tar"):
                self._compare_tars(dataset, paths, deep)
            elif self._has_shape(name, dataset, paths):
                if deep:
                    self._compare_values(name, dataset, paths)
                else:
                    self._compare_origin(name, dataset, paths, sent.get(name))

    def _compare_file(self, name: str, path: Path, there: HubFile | None) -> None:
        if there is None:
            self.report.problems.append(f"{name} is not there")
        elif path.stat().st_size != there.size:
            self.report.problems.append(f"{name} has {there.size:,} bytes there and {path.stat().st_size:,} here")
        elif hash_of(path, there) != (there.sha256 or there.blob_id):
            self.report.problems.append(f"{name} has other bytes there than here")

    def _compare_tars(self, dataset: Dataset, paths: Sequence[str], deep: bool) -> None:
        from rowmill.describe import shard_facts

        local = [Path(str(shard["path"])) for shard in shard_facts(dataset._plan.source.rust)]
        if len(local) != len(paths):
            self.report.problems.append(f"{len(paths)} shards are there, and not {len(local)}")
        for path, own in zip(paths, local, strict=False):
            self._compare_file(path, own, self.listing.get(path))
            if deep:
                self._compare_members(path, own)

    def _compare_members(self, path: str, own: Path) -> None:
        try:
            with self.client.remote_file(path, self.sha) as file, tarfile.open(fileobj=file, mode="r|") as there:
                num_there = sum(1 for _ in there)
            with tarfile.open(own) as here:
                num_here = len(here.getmembers())
        except (RowmillError, OSError, tarfile.TarError) as error:
            self.report.problems.append(f"{path} cannot be read back: {brief(error)}")
            return
        if num_there != num_here:
            self.report.problems.append(f"{path} has {num_there:,} members, and not {num_here:,}")

    def _has_shape(self, name: str, dataset: Dataset, paths: Sequence[str]) -> bool:
        """Whether columns and rows are as many as here."""
        num_rows = sum(self._rows.get(path, 0) for path in paths)
        columns = self._columns.get(paths[0], dataset.schema.names)
        if columns != dataset.schema.names:
            there, here = ", ".join(columns), ", ".join(dataset.schema.names)
            self.report.problems.append(f"split {name} has the columns {there} there and {here} here")
        elif num_rows != len(dataset):
            self.report.problems.append(f"split {name} has {num_rows:,} rows there and {len(dataset):,} here")
        else:
            return True
        return False

    def _compare_origin(self, name: str, dataset: Dataset, paths: Sequence[str], sent: SentSplit | None) -> None:
        """What the push wrote down of the data that the split was made of, which must be of these very files."""
        if sent is None or sent.recipe is None or {file.path for file in sent.files} != {*paths}:
            why = "no push has written down what it was made of"
        elif sent.fingerprint != dataset.fingerprint:
            why = f"it was made of data with fingerprint {sent.fingerprint}, and that of the data here is "
            why += dataset.fingerprint
        elif sent.recipe != recipe_of(dataset):
            why = "it was made of these data, but in another order, or of other rows of them, or by other functions"
        else:
            return
        self.report.problems.append(
            f"split {name} has as many rows and the same columns, but {why}; deep=True compares the rows themselves"
        )

    def _compare_values(self, name: str, dataset: Dataset, paths: Sequence[str]) -> None:
        """Every row of a split: ours by rowmill, theirs by pyarrow over the network."""
        first = 0
        try:
            for there in self._tables(paths):
                # From row `first` on, as many as came.
                here = _table(dataset.skip(first).take(there.num_rows))
                if not _equal(here, there):
                    self.report.problems.append(
                        f"split {name}: rows {first:,} to {first + there.num_rows - 1:,} differ from those here"
                    )
                    return
                first += there.num_rows
        except (RowmillError, OSError, ValueError) as error:
            self.report.problems.append(f"split {name} cannot be read back: {brief(error)}")

    def _tables(self, paths: Sequence[str]) -> Iterator[pa.Table]:
        import pyarrow.parquet as pq

        for path in paths:
            with self.client.remote_file(path, self.sha) as file:
                shard = pq.ParquetFile(file)
                for group in range(shard.num_row_groups):
                    yield shard.read_row_group(group)


def _table(dataset: Dataset) -> pa.Table:
    import pyarrow as pa

    with dataset.with_format("arrow").batch(1000, remainder="keep").loader() as loader:
        batches = [pa.record_batch(batch) for batch in loader]
    return pa.Table.from_batches(batches)


def _equal(here: pa.Table, there: pa.Table) -> bool:
    if here.column_names != there.column_names or here.num_rows != there.num_rows:
        return False
    return all(_same_values(here[name].to_pylist(), there[name].to_pylist()) for name in here.column_names)


def _same_values(here: list[Any], there: list[Any]) -> bool:
    # As Python values: dictionaries and views come back from Parquet as what they hold. By their texts where there are
    # NaNs, which equal nothing.
    return here == there or repr(here) == repr(there)


def brief(error: Exception) -> str:
    """An error's first line, without what may be a signature."""
    lines = str(error).splitlines() or [type(error).__name__]
    return re.sub(r"(https?://[^\s?'\"]+)\?\S*", r"\1", lines[0])[:200]
