"""``rowmill.hub.verify``: whether what is on the Hub is what was pushed, found out from the Hub and not from memory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import RowmillError
from rowmill.hub.listing import HubFile, Listing, hash_of
from rowmill.hub.names import check_repo_name
from rowmill.hub.report import Report
from rowmill.hub.settings import find_settings
from rowmill.hub.staging import find_splits
from rowmill.hub.writing import Writer

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.dataset import Dataset

__all__ = ["manifest_path", "verify"]

_PIECE = 1 << 20
_SHARD = re.compile(r"(?:.*/)?(?P<split>[\w.]+?)-\d{5}-of-\d{5}\.(?:parquet|tar)")
_MANIFESTS = re.compile(r"\.rowmill/[\w.-]+\.json")


def manifest_path(config: str) -> str:
    """Where a push writes down what it has put into the repository."""
    return f".rowmill/{config}.json"


def verify(
    repo: str,
    revision: str | None = None,
    *,
    against: Any = None,
    columns: Sequence[str] | None = None,
    deep: bool = False,
    token: str | bool | None = None,
) -> Report:
    """Compares a data set of the Hub with what it was made of, or with what its push wrote down.

    The tree is listed anew, and every size and hash in it compared; the rows of each Parquet file are counted by its
    footer, read over the network. Nothing is taken from a cache.

    Args:
        repo: The repository.
        revision: Branch, tag or commit; main when None.
        against: The folder (or dataset, or dict of splits) that was pushed, compared by its rows. Where the repository
            has the folder's own files, put there by other means, they are compared one by one.
        columns: The columns that were pushed; all when None.
        deep: Read every byte back; with ``against``, compare every row, by pyarrow over the network.
        token: For a private repository; the user's own when None.

    Returns:
        A report with ``ok``, ``problems`` (a sentence each), ``warnings`` and ``facts``.

    Raises:
        DatasetNotFoundError: There is no such repository.
        OfflineError: The Hub cannot be reached.
    """
    client = Writer(check_repo_name(repo), find_settings(token=token))
    sha = client.commit_of(revision or "main")
    listing = client.listing(sha)
    report = Report(facts={"repo": repo, "sha": sha, "num_files": len(listing)})
    report.facts["num_bytes"] = sum(file.size for file in listing.values())
    check = _Check(client, sha, listing, report)
    check.manifests()
    check.counts()
    if against is not None:
        check.compare(against, columns, deep)
    elif deep:
        check.every_byte()
    return report


class _Check:
    """One comparison; what is wrong goes into the report."""

    def __init__(self, client: Writer, sha: str, listing: Listing, report: Report) -> None:
        self.client, self.sha, self.listing, self.report = client, sha, listing, report
        self._promised: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, int] = {}
        self._columns: dict[str, list[str]] = {}

    def manifests(self) -> None:
        """Every file that a push has written down is there, with its size and hash."""
        for path in filter(_MANIFESTS.fullmatch, self.listing):
            try:
                splits = json.loads(self._read(path))["splits"]
                files = [file for split in splits.values() for file in split["files"]]
                self._promised |= {file["path"]: file for file in files}
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self.report.problems.append(f"{path} is no list of a push; push again")
        for path, file in self._promised.items():
            there = self.listing.get(path)
            if there is None:
                self.report.problems.append(f"{path} is not there")
            elif there.size != file["size"]:
                self.report.problems.append(f"{path} has {there.size:,} bytes, and not {file['size']:,}")
            elif there.sha256 is not None and there.sha256 != file["sha256"]:
                self.report.problems.append(f"{path} has other bytes: its SHA-256 is {there.sha256}")

    def counts(self) -> None:
        """The rows of each Parquet file, by its footer."""
        import pyarrow.parquet as pq

        for path in [path for path in self.listing if path.endswith(".parquet")]:
            try:
                with self.client.remote_file(path, self.sha) as file:
                    metadata = pq.read_metadata(file)
                self._rows[path] = metadata.num_rows
                self._columns[path] = metadata.schema.to_arrow_schema().names
            except (RowmillError, OSError, ValueError) as error:
                self.report.problems.append(f"{path} cannot be read back: {_brief(error)}")
                continue
            promised = self._promised.get(path, {}).get("num_rows")
            if promised not in (None, self._rows[path]):
                self.report.problems.append(f"{path} has {self._rows[path]:,} rows, and not {promised:,}")
        self.report.facts["num_rows"] = sum(self._rows.values())
        self.report.facts["splits"] = {
            split: sum(self._rows.get(path, 0) for path in paths) for split, paths in self._splits().items()
        }

    def compare(self, against: Any, columns: Sequence[str] | None, deep: bool) -> None:
        """The repository and what it was made of."""
        if self._compare_files(against):
            if deep:
                self.every_byte()
            return
        splits = find_splits(against, None)
        for name, dataset in splits.items():
            paths = self._splits().get(name, [])
            dataset = dataset if columns is None else dataset.select_columns(list(columns))
            if not paths:
                self.report.problems.append(f"there is no split {name}")
            elif paths[0].endswith(".tar"):
                self._compare_tars(dataset, paths, deep)
            else:
                self._compare_rows(name, dataset, paths, deep)

    def every_byte(self) -> None:
        """Reads every file over the network, and compares what came with what the tree says."""
        for path, there in self.listing.items():
            digest = hashlib.sha256() if there.sha256 else _git_hash(there.size)
            try:
                with self.client.remote_file(path, self.sha) as file:
                    while piece := file.read(_PIECE):
                        digest.update(piece)
            except (RowmillError, OSError, ValueError) as error:
                self.report.problems.append(f"{path} cannot be read back: {_brief(error)}")
                continue
            if digest.hexdigest() != (there.sha256 or there.blob_id):
                self.report.problems.append(f"{path} comes with other bytes than the tree says")

    def _compare_files(self, against: Any) -> bool:
        """File by file, where the folder's data files have the names that the repository has; whether that was so."""
        folder = Path(against) if isinstance(against, str | os.PathLike) else None
        if folder is None or not folder.is_dir():
            return False
        own = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        own = {name: path for name, path in own.items() if not any(part.startswith(".") for part in name.split("/"))}
        data = [name for name in own if name.endswith((".parquet", ".tar", ".arrow"))]
        # What a push has made anew has the same rows under the same names, and other bytes.
        if not any(name in self.listing and name not in self._promised for name in data):
            return False
        for name in data:
            self._compare_file(name, own[name], self.listing.get(name))
        others = [name for name in self.listing if name.endswith((".parquet", ".tar", ".arrow")) and name not in own]
        self.report.warnings += [f"{name} is there and not in {folder}" for name in others]
        return True

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
            self.report.problems.append(f"{path} cannot be read back: {_brief(error)}")
            return
        if num_there != num_here:
            self.report.problems.append(f"{path} has {num_there:,} members, and not {num_here:,}")

    def _compare_rows(self, name: str, dataset: Dataset, paths: Sequence[str], deep: bool) -> None:
        num_rows = sum(self._rows.get(path, 0) for path in paths)
        columns = self._columns.get(paths[0], dataset.schema.names)
        if columns != dataset.schema.names:
            there, here = ", ".join(columns), ", ".join(dataset.schema.names)
            self.report.problems.append(f"split {name} has the columns {there} there and {here} here")
        elif num_rows != len(dataset):
            self.report.problems.append(f"split {name} has {num_rows:,} rows there and {len(dataset):,} here")
        elif deep:
            self._compare_values(name, dataset, paths)

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
            self.report.problems.append(f"split {name} cannot be read back: {_brief(error)}")

    def _tables(self, paths: Sequence[str]) -> Iterator[pa.Table]:
        import pyarrow.parquet as pq

        for path in paths:
            with self.client.remote_file(path, self.sha) as file:
                shard = pq.ParquetFile(file)
                for group in range(shard.num_row_groups):
                    yield shard.read_row_group(group)

    def _splits(self) -> dict[str, list[str]]:
        """The shards of each split, by their names."""
        splits: dict[str, list[str]] = {}
        for path in sorted(self.listing):
            if found := _SHARD.fullmatch(path):
                splits.setdefault(found["split"], []).append(path)
        return splits

    def _read(self, path: str) -> bytes:
        with self.client.remote_file(path, self.sha) as file:
            return bytes(file.read())


def _git_hash(size: int) -> Any:
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


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


def _brief(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return re.sub(r"(https?://[^\s?'\"]+)\?\S*", r"\1", lines[0])[:200]
