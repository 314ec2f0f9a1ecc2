"""The configurations that a repository's README, or ``.huggingface.yaml``, writes down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rowmill.exceptions import CorruptShardError
from rowmill.hub.patterns import Patterns, check_split

__all__ = ["Config", "as_patterns", "default_config", "given_patterns", "read_configs", "read_metadata"]

_FRONT = re.compile(r"\s*---[\r\n]+(.*?)[\r\n]+---(?:\r?\n|$)", re.DOTALL)
_FIELDS = ("config_name", "data_files", "data_dir", "default")


@dataclass(frozen=True)
class Config:
    """One configuration: its name, its files as patterns (None: by convention), its folder, and what else it says."""

    name: str
    patterns: Patterns | None
    data_dir: str | None
    is_default: bool
    parameters: Mapping[str, Any]


def read_metadata(readme: str | None, standalone: str | None, place: str) -> dict[str, Any]:
    """The YAML at the head of a README, and of ``.huggingface.yaml``, whose keys win."""
    found = _FRONT.match((readme or "").removeprefix("\ufeff"))
    metadata = _load(found[1], f"{place}/README.md") if found else {}
    return metadata | (_load(standalone, f"{place}/.huggingface.yaml") if standalone else {})


def _load(text: str, place: str) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise ImportError(f"{place} has settings in YAML: pip install 'rowmill[hub]' brings what reads them") from None
    try:
        loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CorruptShardError(f"{place}: its YAML cannot be read: {error}", place) from None
    return loaded if isinstance(loaded, dict) else {}


def read_configs(metadata: Mapping[str, Any], place: str) -> dict[str, Config]:
    """Configurations by name, in the order in which they stand; empty where none is written down."""
    listed = metadata.get("configs") or []
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "config_name" in one for one in listed):
        raise CorruptShardError(f"{place}/README.md: configs must be a list of entries with a config_name", place)
    return {str(one["config_name"]): _read_config(one, place) for one in listed}


def _read_config(entry: Mapping[str, Any], place: str) -> Config:
    name, files = str(entry["config_name"]), entry.get("data_files")
    try:
        patterns = None if files is None else as_patterns(files)
    except (TypeError, ValueError) as error:
        raise CorruptShardError(f"{place}/README.md: data_files of config {name!r}: {error}", place) from None
    folder = entry.get("data_dir")
    parameters = {key: value for key, value in entry.items() if key not in _FIELDS}
    return Config(name, patterns, None if folder is None else str(folder), bool(entry.get("default")), parameters)


def default_config(configs: Mapping[str, Config], place: str) -> str | None:
    """The one that is meant where none is named: the only one, the one called default or marked so."""
    marked = [name for name, one in configs.items() if len(configs) == 1 or name == "default" or one.is_default]
    if len(marked) > 1:
        raise CorruptShardError(f"{place}/README.md marks several configs as default: {', '.join(marked)}", place)
    return marked[0] if marked else None


def given_patterns(files: Any) -> Patterns:
    """The same as :func:`as_patterns` of what a caller gave.

    Raises:
        ValueError: It names no file, a split twice, or what can be no split.
        TypeError: It has other than texts.
    """
    patterns = as_patterns(files)
    if not any(patterns.values()):
        raise ValueError(
            f"data_files={files!r} names no file; it is a path, a list of paths, or a dict of them by split"
        )
    return patterns


def as_patterns(files: Any) -> Patterns:
    """``data_files`` as splits and lists of patterns: from a text, a list, a dict, or a list of split and path."""
    if isinstance(files, Mapping):
        return {check_split(str(split)): _texts(patterns) for split, patterns in files.items()}
    if isinstance(files, list | tuple) and any(isinstance(entry, Mapping) for entry in files):
        patterns: Patterns = {}
        for entry in files:
            if not isinstance(entry, Mapping) or entry.keys() != {"split", "path"}:
                raise ValueError(f"each entry has a split and a path, but {entry!r} does not")
            if str(entry["split"]) in patterns:
                raise ValueError(f"split {entry['split']!r} comes twice")
            patterns[check_split(str(entry["split"]))] = _texts(entry["path"])
        return patterns
    return {"train": _texts(files)}


def _texts(value: Any) -> list[str]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        value = [value]
    texts = [entry if isinstance(entry, str) else getattr(entry, "__fspath__", lambda: None)() for entry in value]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"data_files are paths or patterns, in texts, not {value!r}")
    return [text for text in texts if isinstance(text, str)]
