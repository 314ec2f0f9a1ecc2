"""Some columns of a repository's Parquet files, read by ranges and written as files of their own.

The commit has the hash of a whole file, which says nothing of its columns. What can be compared is: the file's size,
its footer, its schema, the rows of each row group, and the checksums of pages that have them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.conversion.progress import Bar
from rowmill.exceptions import CorruptShardError, MissingShardError, OfflineError, RowmillError
from rowmill.hub.in_threads import run_all
from rowmill.hub.repository import Repository
from rowmill.hub.streaming import addresses, credentials
from rowmill.hub.target_folder import TargetFolder

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["checked_columns", "fetch_columns"]

# Files at a time: each holds a row group's columns in memory, whose ranges come several at a time.
_NUM_FILES = 4
_MARK = b"rowmill.columns"
# Of what is written; another number makes every file anew.
_VERSION = 2


def checked_columns(columns: str | Sequence[str]) -> list[str]:
    """Names of columns.

    Raises:
        ValueError: There is none, or one comes twice.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    if not names:
        raise ValueError("columns= names no column; leave it out for all of them")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"columns= names {twice[0]!r} more than once; name each column once")
    return names


def fetch_columns(
    repository: Repository, files: Sequence[str], columns: Sequence[str], to: TargetFolder, *, check: bool
) -> int:
    """Makes files of these columns be in a folder, by the names that the repository has for them.

    Args:
        repository: The repository at a commit.
        files: Its Parquet files.
        columns: Names of columns; see :func:`checked_columns`.
        to: The folder; the caller keeps it to itself meanwhile.
        check: Read what is there already, and compare the checksums of its pages.

    Returns:
        How many files were not there, or were damaged.

    Raises:
        OfflineError: The network is off, and some are missing.
        MissingShardError: A file has no such column.
        CorruptShardError: What came is damaged, twice.
    """
    targets = {path: to.target(path, repository.place) for path in files}
    missing = [path for path in files if not _is_made(targets[path], _mark(columns, repository, path), check)]
    away = [path for path in missing if not repository.is_here(path)]
    if away and repository.settings.is_offline:
        raise OfflineError(_offline(repository, away, columns, to.path), repository.repo)
    credentials(repository.settings, tuple(addresses(away, repository).values()))
    with ThreadPoolExecutor(_NUM_FILES) as pool:
        sources = list(pool.map(lambda path: _Source(repository, path, columns), missing))
    total = sum(source.num_bytes for source in sources)
    with Bar(f"downloading columns of {repository.repo}", total, is_bytes=True) as bar:
        run_all([partial(_copy, source, targets[source.path], to, bar.add) for source in sources], _NUM_FILES)
    return len(missing)


def _copy(source: _Source, target: Path, to: TargetFolder, progress: Callable[[int], None]) -> None:
    import pyarrow.parquet as pq

    with (
        to.written(target) as part,
        pq.ParquetWriter(
            str(part), source.schema, compression="zstd", write_page_index=True, write_page_checksum=True
        ) as writer,
    ):
        for group in range(source.num_groups):
            writer.write_table(source.table(group))
            progress(source.group_bytes(group))


class _Source:
    """The columns of one file of a commit; what comes damaged is fetched once more.

    Raises:
        MissingShardError: It has no such column.
        CorruptShardError: Its footer is damaged.
    """

    def __init__(self, repository: Repository, path: str, columns: Sequence[str]) -> None:
        self.path, self._repository, self._columns = path, repository, list(columns)
        self._file = self._trying(self._open)
        self.schema = self._written_schema()
        self.num_groups: int = self._file.num_row_groups
        self.num_bytes = sum(self.group_bytes(group) for group in range(self.num_groups))

    def group_bytes(self, group: int) -> int:
        """Bytes of a row group's columns, as they lie in the file."""
        told = self._file.metadata.row_group(group)
        chunks = [told.column(index) for index in range(told.num_columns)]
        # A column of structs or lists is several chunks.
        names = [chunk.path_in_schema.split(".", 1)[0] for chunk in chunks]
        return sum(
            chunk.total_compressed_size for chunk, name in zip(chunks, names, strict=True) if name in self._columns
        )

    def table(self, group: int) -> pa.Table:
        """A row group's columns."""

        def read(is_again: bool) -> Any:
            if is_again:
                self._file = self._open(is_again=True)
            table = self._file.read_row_group(group, columns=self._columns).select(self._columns)
            promised = self._file.metadata.row_group(group).num_rows
            if table.num_rows != promised:
                raise OSError(f"row group {group} has {table.num_rows} rows and the footer says {promised}")
            return table.cast(self.schema)

        return self._trying(read)

    def _trying(self, read: Callable[[bool], Any]) -> Any:
        """What ``read`` returns; asked once more where it finds damage, past what is kept on disk."""
        import pyarrow as pa

        for is_again in (False, True):
            try:
                return read(is_again)
            except (CorruptShardError, pa.ArrowException, OSError) as error:
                if isinstance(error, RowmillError) and not isinstance(error, CorruptShardError):
                    raise
                found = str(error)
        raise CorruptShardError(
            f"{self.path} of {self._repository.place} came twice with damaged bytes ({found}). Try again later, or "
            "download the whole file, which is compared with the commit's hash: leave the columns out",
            self.path,
        )

    def _open(self, is_again: bool) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(self._readable(is_again), pre_buffer=True, page_checksum_verification=True)

    def _readable(self, is_again: bool) -> Any:
        """The file here, or what reads it where it lies."""
        from rowmill.remote.objects import ObjectFile
        from rowmill.source import OpenedSource, OpenOptions

        known = addresses([self.path], self._repository).get(self.path)
        if known is None:
            return str(self._repository.local(self.path))
        address, size, tag, is_final = known
        if is_again:
            # The cache on disk keeps versions apart by their tags: of this one it has nothing.
            tag = f"{tag} again"
        options = OpenOptions(
            paths=(address,),
            format="parquet",
            known=((address, size, tag, is_final),),
            credentials=credentials(self._repository.settings, (known,)),
        )
        remote = OpenedSource(options).rust.shard_object(0)
        assert remote is not None, "an address is read over the network"
        return ObjectFile(remote)

    def _written_schema(self) -> pa.Schema:
        import pyarrow as pa

        stored = self._file.schema_arrow
        unknown = [name for name in self._columns if name not in stored.names]
        if unknown:
            raise MissingShardError(
                f"{self.path} has no column {unknown[0]!r}; it has {', '.join(stored.names)}", self.path
            )
        mark = _mark(self._columns, self._repository, self.path)
        return pa.schema([stored.field(name) for name in self._columns], metadata={_MARK: mark})


def _mark(columns: Sequence[str], repository: Repository, path: str) -> bytes:
    """What a file of columns was made of."""
    like = repository.listing[path]
    return json.dumps([_VERSION, like.sha256 or like.blob_id, list(columns)]).encode()


def _is_made(target: Path, mark: bytes, check: bool) -> bool:
    """Whether a file is what an earlier call has made, and with ``check`` whether its pages still are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(target, page_checksum_verification=True) as file:
            if (file.schema_arrow.metadata or {}).get(_MARK) != mark:
                return False
            for group in range(file.num_row_groups if check else 0):
                file.read_row_group(group)
    except (OSError, pa.ArrowException):
        return False
    return True


def _offline(repository: Repository, missing: Sequence[str], columns: Sequence[str], folder: Path) -> str:
    shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
    command = ["rowmill", "download", repository.repo, "--revision", repository.sha]
    command += ["-c", ",".join(columns), "--to", str(folder)]
    return (
        f"the network is off, and {len(missing)} files of {repository.place} have not come into {folder}: {shown}. "
        f"Where there is a network, this fetches them: {shlex.join(command)}"
    )
