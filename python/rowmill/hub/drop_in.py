"""What ``datasets.load_dataset`` is told beside what rowmill's is: taken over, without effect, or refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    from rowmill.dataset import Dataset

__all__ = ["taken_over", "with_given_features"]

# They say where `datasets` keeps its own copy and how it checks it, of which there is none: files are read as they lie,
# and were compared with the commit's hashes when they came. Scripts of repositories are never run.
_WITHOUT_EFFECT = (
    "ignore_verifications", "keep_in_memory", "save_infos", "task", "trust_remote_code", "verification_mode",
    "writer_batch_size",
)  # fmt: skip
# Of rowmill's own, beside those that have a parameter in the signature.
_OWN = (
    "cache_dir", "columns", "data_dir", "features", "offline", "streaming", "token", "force_reindex", "num_proc",
    "lanes_over",
)  # fmt: skip
_MODES = ("reuse_dataset_if_exists", "reuse_cache_if_exists", "force_redownload")


def taken_over(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``datasets.load_dataset`` as those of ``rowmill.load_dataset``; ``features`` is left to the caller.

    Raises:
        ValueError: One asks for what is not done here; the text names it and says what does it.
        TypeError: There is none of that name.
    """
    kept = {name: value for name, value in given.items() if name not in _WITHOUT_EFFECT}
    token = kept.pop("use_auth_token", None)
    if token is not None:
        kept.setdefault("token", token)
    if kept.pop("storage_options", None):
        raise ValueError(
            "storage_options= is for files of other storages, which rowmill.open reads by their URLs; the Hub is "
            "reached by token= and HF_ENDPOINT"
        )
    unknown = [name for name in kept if name not in (*_OWN, "download_mode", "download_config")]
    if unknown:
        raise TypeError(
            f"{unknown[0]}= is no argument of rowmill.load_dataset; where it tells datasets how to read a format, read "
            "it there, and the rows here by rowmill.from_dataset(datasets.load_dataset(...))"
        )
    if mode := _mode(kept.pop("download_mode", None)):
        kept["force_reindex"] = kept.get("force_reindex", False) or mode == "reuse_cache_if_exists"
    return kept | _of_config(kept.pop("download_config", None), kept)


def _mode(given: Any) -> str | None:
    mode: str | None = getattr(given, "value", given)
    if mode is not None and mode not in _MODES:
        raise ValueError(f"download_mode must be one of {', '.join(_MODES)}, not {given!r}")
    if mode == "force_redownload":
        raise ValueError(
            "download_mode='force_redownload' fetches what is here already, and the files of a commit never change; "
            "`rowmill download REPO` compares every hash and fetches what is damaged, so leave download_mode= out"
        )
    return mode


def _of_config(config: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a ``DownloadConfig`` says that counts here, where no argument says it already."""
    if config is None:
        return {}
    if getattr(config, "force_download", False):
        _mode("force_redownload")
    if getattr(config, "extract_compressed_file", False):
        raise ValueError("download_config= asks to extract_compressed_file; unpack the archives, and name the folder")
    said = {
        "token": getattr(config, "token", None),
        "cache_dir": getattr(config, "cache_dir", None),
        "offline": True if getattr(config, "local_files_only", False) else None,
        "num_proc": getattr(config, "num_proc", None),
    }
    return {name: value for name, value in said.items() if value is not None and given.get(name) is None}


def with_given_features(dataset: Dataset, features: Any, path: str | os.PathLike[str]) -> Dataset:
    """The dataset with these features, which must be of the types that are stored.

    Raises:
        SchemaMismatchError: They would cast a column, or name others.
    """
    from rowmill.file_lanes.source import FileSource
    from rowmill.source import OpenedSource

    wanted, stored = features.arrow_schema, dataset.schema
    for name in [*wanted.names, *stored.names]:
        types = [schema.field(name).type if name in schema.names else None for schema in (wanted, stored)]
        if types[0] != types[1]:
            ours, theirs = ("no such column" if kind is None else kind for kind in (types[1], types[0]))
            raise SchemaMismatchError(
                f"features= says {theirs} of column {name!r} of {os.fspath(path)}, and stored is {ours}: rows are read "
                "as they lie. Choose columns by columns=, and cast by .map or in the batch by .with_format(dtypes=...)"
            )
    options = replace(dataset._plan.source.options, features=json.dumps(features.to_dict()))
    return dataset._with(source=FileSource(options) if dataset._plan.is_over_files else OpenedSource(options))
