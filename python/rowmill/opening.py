"""``rowmill.open``: files, folders and globs to a dataset."""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from rowmill.arguments import positive
from rowmill.dataset import Dataset
from rowmill.exceptions import CorruptShardError, MissingShardError
from rowmill.file_lanes.source import FileSource
from rowmill.folders import cache_folder
from rowmill.hub.settings import check_online
from rowmill.hub.urls import of_hub
from rowmill.plan import OrderSettings, Plan
from rowmill.remote.credentials import default_places
from rowmill.remote.urls import Known, expanded, is_elsewhere, is_remote, without_file_scheme
from rowmill.source import OpenedSource, OpenOptions, as_paths

__all__ = ["open", "opened"]


def open(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    columns: Sequence[str] | None = None,
    format: str | None = None,
    split: str | None = None,
    index_dir: str | os.PathLike[str] | None = None,
    force_reindex: bool = False,
    num_threads: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    cache_dir: str | os.PathLike[str] | None = None,
    lanes_over: Literal["files"] | None = None,
) -> Dataset:
    """Opens shards (Arrow, Parquet, WebDataset, token files of other trainers) without reading a row.

    The first open walks the shards' message headers on all cores and stores an index in rowmill's cache folder;
    later opens map it and walk only shards that changed.

    Args:
        paths: A file, a folder, a glob, or a list of these. ``https://``, ``s3://``, ``gs://`` and ``az://`` are read
            by ranges (a folder or glob of an object store is listed), ``hf://datasets/OWNER/NAME[@REVISION]/PATH`` is
            files of the Hub, fetched where they are missing; other URLs are fetched by fsspec. Files come in natural
            order of their paths unless a list is given. A folder of ``save_to_disk`` or of the datasets cache is known
            by its JSON files; the indices of one that was saved with some are honoured, its format is left to
            ``columns`` and ``with_format``.
        columns: Columns to read, in this order; all when None.
        format: "arrow", "parquet", "webdataset", "megatron", "nanogpt", "jsonl", "csv" or "tsv"; found from names and
            first bytes when None, but for "nanogpt" without llm.c's header, of which only the ``dataset.json`` of
            the folder tells that ``tokenize`` and ``convert`` write.
        split: Which split of a folder where ``datasets`` keeps several.
        index_dir: Folder of the index; ``$ROWMILL_CACHE/index`` or the user's cache folder when None.
        force_reindex: Walk every shard, whatever the index knows.
        num_threads: Threads of the walk; all cores when None.
        on_error: "skip" leaves damaged shards and blocks out, counts them and reports them as warnings.
        cache_dir: Folder for what text files are converted into; ``$ROWMILL_CACHE`` or the user's when None.
        lanes_over: "files" looks at no file before its turn comes, for very many of them over a network: each lane is
            some files after each other. There is no length then; see docs/streaming.

    Returns:
        A dataset whose rows are dicts, in storage order.

    Raises:
        MissingShardError: A file is not there, or a glob matches nothing.
        CorruptShardError: A file is no Arrow file, or is truncated.
        SchemaMismatchError: Shards disagree about a column, or ``columns`` names one that is not there.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder, num_shards=2)
        ...     ds = rowmill.open(folder, index_dir=folder).shuffle(seed=42).batch(8)
        ...     batch = next(iter(ds))
        >>> len(batch["text"])
        8
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", not {on_error!r}')
    if num_threads is not None:
        positive("num_threads", num_threads, 1)
    named, origin, of_commit = of_hub(paths, cache_dir)
    named, known, roots = _of_network(named, format, cache_dir)
    plain = as_paths(named)
    told = _told_format(plain) if format is None or format in _STREAMS else None
    options = OpenOptions(
        paths=plain,
        known=(*of_commit, *known),
        roots=tuple(roots),
        credentials=default_places(path for path in plain if is_remote(path)),
        origin=origin,
        format=format or told,
        split=split,
        index_dir=None if index_dir is None else os.path.abspath(os.path.expanduser(index_dir)),
        num_threads=num_threads,
        on_error=on_error,
        cache_dir=None if cache_dir is None else os.path.abspath(os.path.expanduser(cache_dir)),
    )
    dataset = opened(options, lanes_over, force_reindex=force_reindex)
    return dataset if columns is None else dataset.select_columns(columns)


def opened(options: OpenOptions, lanes_over: str | None = None, *, force_reindex: bool = False) -> Dataset:
    """The dataset of what was named, in storage order."""
    if lanes_over is None:
        return Dataset(Plan(OpenedSource(options, force_reindex=force_reindex)))
    if lanes_over != "files":
        raise ValueError(f'lanes_over must be "files", or None for lanes over rows, not {lanes_over!r}')
    return Dataset(Plan(FileSource(options), order=OrderSettings(lanes_over="files")))


def _of_network(
    paths: Any, format: str | None, cache_dir: str | os.PathLike[str] | None
) -> tuple[Any, list[Known], list[str]]:
    """Paths with folders of stores listed, and fetched what is not read by ranges; what lists tell; the folders."""
    if isinstance(paths, str | os.PathLike):
        paths = _plain(paths)
    listed = [paths] if isinstance(paths, str | os.PathLike) else [_plain(path) for path in paths]
    if not any(is_remote(path) or is_elsewhere(path) for path in listed):
        return paths if isinstance(paths, str | os.PathLike) else listed, [], []
    check_online(path for path in listed if isinstance(path, str))
    from rowmill.remote.fetched import localized

    found = expanded(listed)
    return localized(found.paths, format, cache_folder(cache_dir)), found.known, found.roots


def _plain(path: Any) -> Any:
    return without_file_scheme(path) if isinstance(path, str) else path


def _told_format(paths: tuple[str, ...]) -> str | None:
    """What a ``dataset.json`` beside bare streams of tokens says of them, in whose bytes nothing does."""
    # Plain texts of paths: there may be ten thousand, in a folder or two.
    folders = {os.path.dirname(path) if path.endswith(_ENDING) else path for path in paths}
    notes = {folder: _note(folder) for folder in folders}
    for folder, note in notes.items():
        if note.get("format") in _STREAMS:
            _check_sizes(folder, note, None if folder in paths else {os.path.basename(path) for path in paths})
    return _BARE if all(note.get("format") == _BARE for note in notes.values()) else None


def _note(folder: str) -> dict[str, Any]:
    try:
        told = json.loads(Path(folder, _NOTE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _check_sizes(folder: str, note: dict[str, Any], wanted: set[str] | None) -> None:
    """Raises CorruptShardError for a stream that is not as long as it was written: nothing in its bytes would tell."""
    try:
        sizes = {str(shard["name"]): int(shard["num_bytes"]) for shard in note["shards"]}
    except (KeyError, TypeError, ValueError):
        return
    for name, size in sizes.items():
        # Only names of files in the folder itself, whatever the note says.
        path = os.path.join(folder, os.path.basename(name))
        if wanted is not None and not any(fnmatch.fnmatch(name, one) for one in wanted):
            continue
        found = os.stat(path).st_size if os.path.isfile(path) else None
        if found is None and wanted is None:
            raise MissingShardError(
                f"{path} is not there, and {_NOTE} beside it lists it; restore it, or open the files that are wanted "
                "by their names",
                path=path,
            )
        if found is not None and found != size:
            raise CorruptShardError(
                f"{path} has {found:,} bytes, and {_NOTE} beside it says that {size:,} were written: it was cut short "
                f"or replaced; restore it, or write it again (or take {_NOTE} away, and give the format)",
                path=path,
            )


_BARE, _ENDING, _NOTE = "nanogpt", ".bin", "dataset.json"
# Formats in whose files nothing tells how long they are, or only a header.
_STREAMS = (_BARE, "llmc")
