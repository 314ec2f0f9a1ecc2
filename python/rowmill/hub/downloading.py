"""``rowmill.hub.download``: a data set of the Hub onto this machine, whole, checked, and nothing twice."""

from __future__ import annotations

import fnmatch
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rowmill.arguments import positive
from rowmill.exceptions import MissingShardError, OfflineError
from rowmill.hub.column_files import checked_columns, fetch_columns
from rowmill.hub.layout import Tree, find_layout
from rowmill.hub.listing import hash_of
from rowmill.hub.names import check_file_name
from rowmill.hub.repository import Repository, open_repository
from rowmill.hub.settings import find_settings
from rowmill.hub.target_folder import TargetFolder

__all__ = ["Downloaded", "chosen_files", "download"]

_log = logging.getLogger("rowmill.hub")
# Read with any part of a data set, and small.
_NOTES = ("README.md", ".huggingface.yaml")


@dataclass(frozen=True)
class Downloaded:
    """What a download has done.

    Attributes:
        repo: The repository.
        sha: The commit.
        folder: Where the files are.
        files: Those that were asked for, by their names in the repository.
        num_bytes: Their bytes.
        num_fetched: Files that were not here before, or were damaged.
        left_out: Files that ``max_bytes`` had no room for.
        columns: The only columns that were taken; None for whole files.
    """

    repo: str
    sha: str
    folder: str
    files: list[str]
    num_bytes: int
    num_fetched: int
    left_out: list[str] = field(default_factory=list)
    columns: list[str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return dict(self.__dict__)


def download(
    repo: str,
    *,
    name: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    columns: str | Sequence[str] | None = None,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    max_bytes: int | None = None,
    to: str | os.PathLike[str] | None = None,
    check: bool = True,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Downloaded:
    """Downloads a data set at one commit, for machines that will have no network.

    Files go to the Hub's cache, where ``rowmill.load_dataset`` and every other client find them offline. The size and
    hash of each are compared with what the commit says. After a kill the same call goes on where it stopped. Of
    ``columns`` the commit has no hash: the sizes of the files they come from, footers, schemas, numbers of rows and the
    checksums of pages that have some are compared.

    Args:
        repo: The repository.
        name: One configuration.
        split: One split of it.
        revision: Branch, tag, or commit; main when None. It is resolved once, to the commit that is told.
        columns: Only these columns of Parquet files, read by ranges and written anew, with checksums; wants ``to``.
        include: Globs of files to take; all when None.
        exclude: Globs of files to leave.
        max_bytes: Take whole files, in order, for as long as they fit.
        to: A folder to put the files into as well, by their names; on the disk of the cache they take no room twice,
            so do not write into them.
        check: Compare files that were here with their hashes, too, not with their sizes alone; of ``columns``, read
            them.
        token: For private and gated repositories; the user's own when None.
        cache_dir: Instead of the Hub's cache folder.

    Raises:
        DatasetNotFoundError, RevisionNotFoundError, AccessDeniedError: As for ``rowmill.load_dataset``.
        OfflineError: The network is off or does not answer.
        MissingShardError: No file is as asked for.
        CorruptShardError: Bytes came twice that are not those of the commit, or a name would lead out of the folder.
        ValueError: ``columns`` without ``to``, or a column twice.
        OSError: There is no room.
    """
    chosen = None if columns is None else checked_columns(columns)
    repository = open_repository(repo, revision, find_settings(token=token, cache_dir=cache_dir))
    wanted = chosen_files(repository, name, split, include, exclude)
    files, left_out = _within(repository, wanted, max_bytes)
    if chosen is not None:
        return _download_columns(repository, files, left_out, chosen, to, check)
    damaged = [path for path in files if check and repository.is_here(path) and not _is_sound(repository, path)]
    if damaged and repository.settings.is_offline:
        raise OfflineError(
            f"{', '.join(damaged)} of {repository.place} are damaged here, and the network is off; give the same "
            "command where there is one",
            repo,
        )
    for path in damaged:
        _log.warning("%s of %s was damaged and is fetched again", path, repository.place)
        _remove(repository.local(path))
    num_fetched = sum(not repository.is_here(path) for path in files)
    repository.fetch(files)
    folder = repository.folder / "snapshots" / repository.sha
    if to is not None:
        target = TargetFolder(to, repository.settings)
        with target.alone():
            for path in files:
                _place(repository, path, target)
        folder = target.path
    return Downloaded(repo, repository.sha, str(folder), files, _bytes(repository, files), num_fetched, left_out)


def chosen_files(
    repository: Repository,
    name: str | None = None,
    split: str | None = None,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
) -> list[str]:
    """The files that are meant, in natural order of the repository, notes first.

    Raises:
        MissingShardError: There is none.
    """
    listing = repository.listing
    files = list(listing)
    if name is not None or split is not None:
        files = [path for path in _NOTES if path in listing] + _of_layout(repository, name, split)
    taken, left = _globs(include), _globs(exclude)
    files = [path for path in files if (not taken or _matches(path, taken)) and not _matches(path, left)]
    if not files:
        shown = ", ".join(list(listing)[:8]) or "none"
        raise MissingShardError(
            f"no file of {repository.place} is as asked for; its files are {shown}", repository.repo
        )
    for path in files:
        check_file_name(path, repository.place)
    return files


def _of_layout(repository: Repository, name: str | None, split: str | None) -> list[str]:
    readme, standalone = repository.read_text("README.md"), repository.read_text(".huggingface.yaml")
    layout = find_layout(Tree(repository.place, list(repository.listing), readme, standalone), name)
    if split is not None and split not in layout.splits:
        raise MissingShardError(
            f"{repository.place} has no split {split!r}; it has {', '.join(layout.splits)}", repository.repo
        )
    return [path for one, paths in layout.splits.items() if split in (None, one) for path in paths]


def _globs(given: str | Iterable[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def _matches(path: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, f"{glob}*" if glob.endswith("/") else glob) for glob in globs)


def _within(repository: Repository, files: Sequence[str], max_bytes: int | None) -> tuple[list[str], list[str]]:
    """The first files that fit, and the rest."""
    if max_bytes is None:
        return list(files), []
    room, taken = positive("max_bytes", max_bytes, 1), 0
    for number, path in enumerate(files):
        taken += repository.listing[path].size
        if taken > room:
            if number == 0:
                raise MissingShardError(
                    f"not even {path} fits into {room:,} bytes: it has {repository.listing[path].size:,}", path
                )
            return list(files[:number]), list(files[number:])
    return list(files), []


def _bytes(repository: Repository, files: Sequence[str]) -> int:
    return sum(repository.listing[path].size for path in files)


def _is_sound(repository: Repository, path: str) -> bool:
    like = repository.listing[path]
    # A list that was made of the cache itself has no hashes to compare with.
    return not like.blob_id or hash_of(repository.local(path), like) == (like.sha256 or like.blob_id)


def _remove(local: Path) -> None:
    for path in {os.path.realpath(local), str(local)}:
        if os.path.lexists(path):
            os.remove(path)


def _place(repository: Repository, path: str, to: TargetFolder) -> None:
    """Puts a file of the cache into a folder, by a link where it can be."""
    source, target = Path(os.path.realpath(repository.local(path))), to.target(path, repository.place)
    if target.is_file() and (target.samefile(source) or _same(repository, path, target)):
        return
    with to.written(target) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)


def _same(repository: Repository, path: str, target: Path) -> bool:
    like = repository.listing[path]
    return target.stat().st_size == like.size and hash_of(target, like) == (like.sha256 or like.blob_id)


def _download_columns(
    repository: Repository, files: Sequence[str], left_out: list[str], columns: list[str], to: Any, check: bool
) -> Downloaded:
    """The columns of each Parquet file, as files of the same names."""
    if to is None:
        raise ValueError("columns= makes files of its own: say where they go by to=")
    shards = [path for path in files if path.endswith(".parquet")]
    if not shards:
        raise MissingShardError(f"{repository.place} has no Parquet file as asked for; columns= is for those", None)
    folder = TargetFolder(to, repository.settings)
    with folder.alone():
        num_fetched = fetch_columns(repository, shards, columns, folder, check=check)
        num_bytes = sum((folder.path / path).stat().st_size for path in shards)
    return Downloaded(
        repository.repo, repository.sha, str(folder.path), shards, num_bytes, num_fetched, left_out, columns
    )
