"""``rowmill.load_dataset``: from a name to a dataset, of files here, of the clients' caches, or of the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from rowmill.arguments import positive
from rowmill.dataset import Dataset
from rowmill.file_lanes.source import refuse
from rowmill.hub.drop_in import taken_over, with_given_features
from rowmill.hub.local import find_local
from rowmill.hub.places import Place, Question
from rowmill.hub.settings import find_settings
from rowmill.hub.slices import Part
from rowmill.hub.stored import find_stored
from rowmill.hub.streaming import credentials
from rowmill.opening import opened
from rowmill.remote.credentials import default_places
from rowmill.remote.urls import is_remote
from rowmill.source import OpenedSource, OpenOptions

if TYPE_CHECKING:
    DataFiles = str | Sequence[str] | Mapping[str, str | Sequence[str]]

__all__ = ["fast_load_iterable_dataset", "load_dataset"]


def load_dataset(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    split: str = "train",
    data_files: DataFiles | None = None,
    data_dir: str | None = None,
    revision: str | None = None,
    columns: Sequence[str] | None = None,
    streaming: bool | Literal["auto"] = "auto",
    offline: bool | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    index_dir: str | os.PathLike[str] | None = None,
    force_reindex: bool = False,
    num_proc: int | None = None,
    lanes_over: Literal["files"] | None = None,
) -> Dataset:
    """A dataset by name, with the configurations, splits and files that ``datasets`` would find.

    It is looked for, in this order, among files, folders and globs here; folders of ``save_to_disk``; the cache of
    ``datasets`` (Arrow); the Hub's cache (Parquet, read as it is); and the Hub, from where it is downloaded. A revision
    is resolved once to a commit, which stands in the fingerprint and in every cursor; no other one is ever read.

    Args:
        path: A repository of the Hub, a file, folder or glob, or a format's name with ``data_files``.
        name: The configuration; the default one when None.
        split: One split, parts of it, or several: "train", "train[:10%]", "train+test[100:]"; "all" is all of them.
        data_files: Which files are read instead of those that the repository tells of: a path or glob, a list of them,
            or a dict of them by split. ``hf://`` paths are files of the Hub.
        data_dir: A folder of the repository to look in.
        revision: A branch, tag, ref (``refs/pr/1``), commit or the beginning of one; "main" when None.
        columns: Columns to read; all when None.
        streaming: Whether Parquet, Arrow and tars that are not here are read over the network, by ranges: True, False
            (they are downloaded), or "auto" (read so where they would fill more than half of the free disk). Rows,
            order and cursor are the same. Other formats are downloaded.
        offline: True asks nothing of the network; HF_HUB_OFFLINE or HF_DATASETS_OFFLINE when None.
        token: For private and gated repositories: a token, False for none; HF_TOKEN or that of `hf auth login` if None.
        cache_dir: In place of HF_HUB_CACHE and HF_DATASETS_CACHE.
        index_dir: Folder of the index, as for :func:`rowmill.open`.
        force_reindex: Read the headers of all files again.
        num_proc: Processes of ``datasets``, where a format needs it, and threads that read headers.
        lanes_over: "files" reads no footer before a file's turn comes, as for :func:`rowmill.open`.

    Returns:
        A dataset whose rows are dicts, in the order of ``datasets``.

    Raises:
        DatasetNotFoundError: There is none of that name, or no such configuration; the message says what there is.
        RevisionNotFoundError: The revision cannot be had.
        OfflineError: Files are missing and the network is off, or the Hub cannot be reached; the files are listed.
        AccessDeniedError: The repository is gated, or the token is refused; the message says how to get access.
        ValueError: There is no such split, or a configuration must be chosen.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder, num_shards=4)
        ...     ds = rowmill.load_dataset(folder, split="train[:50%]", index_dir=folder)
        ...     ds.num_rows, rowmill.load_dataset(folder, index_dir=folder).num_rows
        (1650, 3299)
    """
    if streaming not in (True, False, "auto"):
        raise ValueError(f'streaming must be True, False or "auto", not {streaming!r}')
    if split is None:
        raise ValueError("split=None asks for every split at once; name one, as in split='train', or join 'train+test'")
    settings = find_settings(token=token, offline=offline, cache_dir=cache_dir)
    workers = None if num_proc is None else positive("num_proc", num_proc, 1)
    question = Question(os.fspath(path), name, str(split), data_files, data_dir, revision, streaming, workers)
    place = find_local(question, settings) or find_stored(question, settings)
    options = OpenOptions(
        paths=(),
        index_dir=None if index_dir is None else os.path.abspath(os.path.expanduser(index_dir)),
        num_threads=workers,
        cache_dir=None if cache_dir is None else str(settings.datasets_cache),
    )
    urls = [path for paths in place.files.values() for path in paths if is_remote(path)]
    if urls:
        of_hub = [known for known in place.known if known[0].startswith(f"{settings.endpoint}/")]
        named = set(urls).difference(address for address, *_ in of_hub)
        places = (*default_places(named), *(credentials(settings, of_hub) if of_hub else ()))
        options = replace(options, known=tuple(place.known), credentials=places)
    dataset = _open(place, options, lanes_over, force_reindex=force_reindex)
    wanted = place.columns if columns is None else columns
    return dataset if wanted is None else dataset.select_columns(wanted)


def _open(place: Place, options: OpenOptions, lanes_over: str | None, *, force_reindex: bool) -> Dataset:
    options = replace(options, format=place.format, origin=place.origin)
    if place.folder is not None:
        # A folder of `save_to_disk` may choose rows itself: parts are cut from what it yields.
        options = replace(options, paths=(place.folder,), split=place.folder_split)
        dataset = opened(options, lanes_over, force_reindex=force_reindex)
        if place.parts[0].is_whole:
            return dataset
        start, stop = place.parts[0].rows(dataset.num_rows)
        _refuse_nothing(place, [(start, stop)])
        return dataset.skip(start).take(stop - start)
    wanted = list(dict.fromkeys(part.split for part in place.parts))
    paths = tuple(path for split in wanted for path in place.files[split])
    is_everything = _is_everything(place.parts)
    if lanes_over is not None and not is_everything:
        refuse("which rows a part of a split is")
    ranges = () if is_everything else _ranges(place, wanted, options)
    return opened(replace(options, paths=paths, ranges=ranges), lanes_over, force_reindex=force_reindex)


def _is_everything(parts: Sequence[Part]) -> bool:
    return all(part.is_whole for part in parts) and len({part.split for part in parts}) == len(parts)


def _ranges(place: Place, wanted: Sequence[str], options: OpenOptions) -> tuple[tuple[int, int], ...]:
    """Rows of all files together that the parts are; each split is opened once to count its rows."""
    first, bounds = 0, {}
    for split in wanted:
        number = OpenedSource(replace(options, paths=tuple(place.files[split]))).rust.num_rows
        bounds[split] = first, number
        first += number
    ranges = []
    for part in place.parts:
        begin, number = bounds[part.split]
        start, stop = part.rows(number)
        ranges.append((begin + start, begin + stop))
    _refuse_nothing(place, ranges)
    return tuple(ranges)


def _refuse_nothing(place: Place, ranges: Sequence[tuple[int, int]]) -> None:
    """Raises ValueError for parts without a row, as ``datasets`` does: a slice was written wrongly."""
    if all(start == stop for start, stop in ranges):
        named = "+".join(f"{part.split}[{part.start or ''}:{part.stop or ''}]" for part in place.parts)
        raise ValueError(f"split {named!r} has no rows: nothing lies between its bounds")


def fast_load_iterable_dataset(
    path: str | os.PathLike[str],
    name: str | None = None,
    split: str = "train",
    data_files: DataFiles | None = None,
    revision: str | None = None,
    force_reindex: bool = False,
    num_proc: int | None = None,
    index_dir: str | os.PathLike[str] | None = None,
    **load_dataset_kwargs: Any,
) -> Dataset:
    """:func:`load_dataset` under the name and with the order of arguments that some scripts have.

    Args:
        path: As for :func:`load_dataset`, and so the others.
        name: The configuration.
        split: The split.
        data_files: The files.
        revision: The revision.
        force_reindex: Read the headers again.
        num_proc: Processes.
        index_dir: Folder of the index.
        load_dataset_kwargs: Further arguments of :func:`load_dataset`, or of ``datasets.load_dataset``: those of its
            own copies of the data have no effect here, ``features`` must be of the stored types, ``download_config``
            and ``download_mode`` count for what they say of token, cache, network and index.

    Raises:
        ValueError: An argument asks for what is not done here; the text names it.
        SchemaMismatchError: ``features`` would cast a column.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder, num_shards=2)
        ...     ds = rowmill.fast_load_iterable_dataset(folder, index_dir=folder).shuffle(seed=1)
        ...     len(ds), isinstance(ds, rowmill.SimpleArrowIterableDataset)
        (3299, True)
    """
    given = {**load_dataset_kwargs, "force_reindex": force_reindex, "num_proc": num_proc}
    features = given.pop("features", None)
    kept = taken_over(given)
    dataset = load_dataset(
        path, name, split=split, data_files=data_files, revision=revision, index_dir=index_dir, **kept
    )
    return dataset if features is None else with_given_features(dataset, features, path)
