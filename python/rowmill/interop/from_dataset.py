"""A ``datasets.Dataset`` as one of ours: its files, its indices, its features and its format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rowmill.dataset import Dataset
from rowmill.folders import cache_folder
from rowmill.interop.kept import keep_indices, keep_table
from rowmill.interop.placed import Placed, find_files
from rowmill.interop.transform import Transform
from rowmill.plan import Plan
from rowmill.source import OpenedSource, OpenOptions

if TYPE_CHECKING:
    import datasets

__all__ = ["from_dataset"]

# What rows and batches are handed out as, by the same name.
_FORMATS = ("numpy", "torch", "arrow")

# What to do instead with what comes back.
_REMEDIES = {
    "pandas": 'use .with_format("arrow") of what comes back: batch.to_pandas() is the frame',
    "polars": 'use .with_format("arrow") of what comes back: polars.from_arrow(batch) is the frame',
    "jax": 'use .with_format("numpy") of what comes back, whose arrays jax.device_put takes',
    "tensorflow": 'use .with_format("numpy") of what comes back, whose arrays tf.convert_to_tensor takes',
}


def from_dataset(
    dataset: datasets.Dataset,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    index_dir: str | os.PathLike[str] | None = None,
    num_threads: int | None = None,
) -> Dataset:
    """A dataset over the rows of a ``datasets.Dataset``, in its order, so that a script changes one line.

    Rows that lie in Arrow files (what was loaded, mapped, filtered, selected, shuffled, sliced, concatenated or
    renamed) are read where they lie. Others (``from_dict``, columns put side by side, casts that change values) are
    written to the cache folder once, under ``dataset``'s fingerprint. Row numbers of chosen rows are kept in memory, 4
    bytes each, or as runs where they are few. Rows are what ``dataset[i]`` gives with features
    that do not decode: images and audio are ``{"bytes", "path"}``, labels integers.

    Args:
        dataset: What to read. Its columns and its format ("torch", "numpy", "arrow" or none) are taken over, and so is
            a transform of ``with_transform``: it runs in the consuming process on one row at a time, as for
            ``dataset[i]``, with images and sounds decoded.
        cache_dir: Where rows are written that lie in no file; ``$ROWMILL_CACHE`` or the user's cache folder when None.
        index_dir: Folder of the index, as for :func:`rowmill.open`.
        num_threads: Threads that read the files' headers; all cores when None.

    Raises:
        TypeError: It is no ``datasets.Dataset``; the text says what to do with a DatasetDict or an IterableDataset.
        ValueError: It has a format that rowmill does not have; the text says what to use instead.

    Example:
        >>> import rowmill, datasets, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ds = datasets.Dataset.from_dict({"n": [1, 2, 3, 4]}).filter(lambda row: row["n"] % 2 == 0)
        ...     list(rowmill.from_dataset(ds, cache_dir=folder, index_dir=folder))
        [{'n': 2}, {'n': 4}]
    """
    _check_type(dataset)
    wanted = _format_of(dataset)
    folder = cache_folder(cache_dir)
    index = None if index_dir is None else os.path.abspath(os.path.expanduser(index_dir))
    options = OpenOptions(paths=(), index_dir=index, num_threads=num_threads)
    placed = find_files(dataset._data, options) or _keep(dataset, folder)
    options = replace(
        options,
        paths=placed.paths,
        ranges=placed.ranges,
        indices=_indices_of(dataset, folder),
        features=_features_of(dataset, placed),
    )
    made = Dataset(Plan(OpenedSource(options)))
    made = made.select_columns([old for old, _ in placed.columns])
    renamed = {old: new for old, new in placed.columns if old != new}
    return wanted(made.rename_columns(renamed) if renamed else made)


def _check_type(dataset: Any) -> None:
    import datasets

    if isinstance(dataset, datasets.Dataset):
        return
    if isinstance(dataset, datasets.DatasetDict | datasets.IterableDatasetDict):
        splits = ", ".join(map(str, dataset))
        raise TypeError(
            f"a {type(dataset).__name__} holds a dataset for each split: {splits or 'none'}; hand over one of them, as "
            f"in rowmill.from_dataset(ds[{next(iter(dataset), 'train')!r}])"
        )
    if isinstance(dataset, datasets.IterableDataset):
        raise TypeError(
            "an IterableDataset has no rows on the disk and no count of them; open its files with rowmill.open(paths), "
            "or load it without streaming=True"
        )
    raise TypeError(f"from_dataset takes a datasets.Dataset, not {type(dataset).__name__}")


def _format_of(dataset: Any) -> Callable[[Dataset], Dataset]:
    """What gives a dataset of ours the same columns and the same format."""
    format_ = dataset.format
    name, kwargs = format_["type"], dict(format_["format_kwargs"])
    # A format may list them in another order, but rows come in the dataset's own.
    columns = [column for column in dataset.column_names if column in set(format_["columns"])]
    keeps_others = bool(dataset._output_all_columns)

    def select(made: Dataset) -> Dataset:
        return made if keeps_others or columns == made.column_names else made.select_columns(columns)

    if name == "custom" and set(kwargs) == {"transform"}:
        features = type(dataset.features)({column: dataset.features[column] for column in columns})
        transform = Transform(kwargs["transform"], features, keeps_others)
        return lambda made: select(made).map(transform, remove_columns=select(made).column_names)
    dtype = kwargs.pop("dtype", None)
    if (name is not None and name not in _FORMATS) or kwargs:
        raise ValueError(_refusal(name, kwargs))
    return lambda made: select(made).with_format(name, dtypes=dtype)


def _refusal(name: str, kwargs: Mapping[str, Any]) -> str:
    what = f"format {name!r}" if not kwargs else f"format {name!r} with {', '.join(sorted(kwargs))}"
    remedy = _REMEDIES.get(name, "use .map() or .with_format() of what comes back")
    return f"the dataset has {what}, which rowmill does not have; hand over ds.with_format(None), and {remedy}"


def _keep(dataset: Any, folder: Any) -> Placed:
    """The table's rows in files of our own."""
    table = dataset._data.table
    paths = keep_table(table.replace_schema_metadata(None), dataset._fingerprint, folder)
    return Placed(paths, (), tuple((name, name) for name in table.column_names))


def _indices_of(dataset: Any, folder: Any) -> tuple[str, ...]:
    indices = dataset._indices
    if indices is None:
        return ()
    path = getattr(indices, "path", None)
    if (
        path is not None
        and os.path.isfile(path)
        and all(step == "replace_schema_metadata" for step, *_ in indices.replays)
    ):
        return (path,)
    return (keep_indices(indices.table.column(0), folder),)


def _features_of(dataset: Any, placed: Placed) -> str:
    """The features as the schema's metadata holds them, by stored name."""
    features = dataset.features.to_dict()
    return json.dumps({old: features[name] for old, name in placed.columns})
