"""Formats that only ``datasets`` reads: through it once, from files of the pinned commit, then from its Arrow files.

It is handed files that are here, never a name: its own way to a repository falls back to the newest revision in its
cache on almost any failure.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from rowmill.conversion.kinds import TextFile, promise, sniff
from rowmill.exceptions import CorruptShardError, RowmillError
from rowmill.hub.formats import most_common_format
from rowmill.hub.settings import Settings

__all__ = ["chosen_columns", "convert_files", "own_format"]

_AS_IT_IS = {"parquet": "parquet", "arrow": "arrow", "webdataset": "webdataset"}
# What a README may say of a format without changing how its rows are read; columns are selected afterwards.
_SILENT = {"parquet": ("features", "columns", "batch_size"), "webdataset": ("features",), "arrow": ("features",)}
_HEAD = 1 << 20
_MOST_ARCHIVES = 10


def own_format(format_: str, files: Sequence[str], parameters: Mapping[str, Any]) -> str | None:
    """What ``rowmill.open`` calls a format; None where only ``datasets`` reads these files.

    Args:
        format_: As ``datasets`` calls it.
        files: Files that are here.
        parameters: What else is said of them; some change what is in a row.
    """
    said = {key: value for key, value in parameters.items() if key not in _SILENT.get(format_, ("features",))}
    if format_ in _AS_IT_IS and not said:
        return _AS_IT_IS[format_]
    if format_ == "csv" and (not said or said == {"sep": "\t"}) and len({promise(path)[0] for path in files}) == 1:
        return "tsv" if said else "csv"
    if format_ == "json" and not said and all(_is_lines(path) for path in files):
        return "jsonl"
    return None


def chosen_columns(parameters: Mapping[str, Any]) -> list[str] | None:
    """The columns that a README chooses of a format that is read as it is."""
    chosen = parameters.get("columns")
    return [str(name) for name in chosen] if isinstance(chosen, list | tuple) else None


def _is_lines(path: str) -> bool:
    """Whether a JSON file is one object a line."""
    file = sniff(path, "jsonl")
    if file is None:
        return False
    line = _first_line(file)
    if line is None:
        return True
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _first_line(file: TextFile) -> bytes | None:
    """The first line that says something; None where it is too long to look at."""
    from rowmill.conversion.chunks import open_text

    head = bytearray(_HEAD)
    try:
        with open_text(file) as text:
            number = 0
            while number < _HEAD and (more := text.readinto(memoryview(head)[number:])):
                number += more
    except CorruptShardError:
        return b""
    begun = bytes(head[:number]).removeprefix(b"\xef\xbb\xbf").lstrip()
    line, end, _ = begun.partition(b"\n")
    if not end and number == _HEAD:
        return None if line.startswith(b"{") else b""
    return line


def convert_files(
    format_: str,
    files: Sequence[str],
    parameters: Mapping[str, Any],
    settings: Settings,
    num_proc: int | None = None,
) -> list[str]:
    """Arrow files that ``datasets`` makes of files, or has made of them before.

    Raises:
        ImportError: ``datasets`` is missing.
        CorruptShardError: It cannot read the files.
    """
    try:
        import datasets
    except ImportError:
        raise ImportError(
            f"{files[0]} is of format {format_}, which only datasets reads: pip install datasets"
        ) from None
    format_ = _in_archives(files) if format_ == "zip" else format_
    builder = _config_of(format_, files[0])
    kept = {key: value for key, value in parameters.items() if hasattr(builder, key) and key != "features"}
    if "features" in parameters:
        kept["features"] = datasets.Features._from_yaml_list(parameters["features"])
    # It tells a server of every load, which offline must not happen and is nobody's business here.
    counts, datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, False
    try:
        made = datasets.load_dataset(
            format_,
            data_files={"train": list(files)},
            split="train",
            cache_dir=str(settings.datasets_cache),
            num_proc=num_proc,
            **kept,
        )
    except RowmillError:
        raise
    except Exception as error:
        raise CorruptShardError(
            f"datasets cannot read {files[0]} as {format_}: {type(error).__name__}: {error}", files[0]
        ) from error
    finally:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = counts
    return [str(entry["filename"]) for entry in made.cache_files]


def _config_of(format_: str, path: str) -> Any:
    """What ``datasets`` lets a format be told; a name that it does not know would be looked for on the Hub."""
    import datasets.load

    try:
        return datasets.load.import_main_class(f"datasets.packaged_modules.{format_}.{format_}").BUILDER_CONFIG_CLASS
    except (ImportError, AttributeError):
        raise ImportError(f"{path} is {format_}, which this datasets does not read: pip install -U datasets") from None


def _in_archives(files: Sequence[str]) -> str:
    """The format of what most of the archives hold."""
    names: list[str] = []
    try:
        for path in files[:_MOST_ARCHIVES]:
            with zipfile.ZipFile(path) as archive:
                names += archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise CorruptShardError(f"{path} cannot be read as a ZIP archive: {error}", path) from None
    found = most_common_format(names)
    if found in (None, "zip"):
        raise CorruptShardError(f"{files[0]} holds no data of a known format; unpack it and name the files", files[0])
    return str(found)
