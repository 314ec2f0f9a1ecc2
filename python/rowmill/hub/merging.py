"""A push beside what a repository holds: where its shards go, what they replace, and that all else stays as it is."""

from __future__ import annotations

import glob
import posixpath
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rowmill.exceptions import RowmillError, StateMismatchError
from rowmill.hub.card import Config, default_config, read_configs, read_metadata
from rowmill.hub.holdings import Holdings, find_holdings
from rowmill.hub.layout import Tree, find_layout
from rowmill.hub.patterns import Patterns, match
from rowmill.hub.staging import FORMATS, StagedSplit

__all__ = ["Merge", "check_merge", "merge"]

# What texts beside the data are taken for where there is no data.
_NOTES = ("text", "harbor")


@dataclass(frozen=True)
class Merge:
    """One push, as it changes a repository.

    Attributes:
        config: The configuration that is pushed.
        splits: Its splits that are pushed, with their places in the repository.
        gone: Shards of earlier pushes of these splits.
        configs: What the card says of all configurations from now on.
        kept: The files of the configuration's other splits.
        tree: The repository before.
        before: What it held.
    """

    config: str
    splits: list[StagedSplit]
    gone: list[str]
    configs: list[dict[str, Any]]
    kept: dict[str, list[str]]
    tree: Tree
    before: Holdings

    @property
    def new(self) -> list[str]:
        """The shards that are pushed."""
        return [file.path for split in self.splits for file in split.files]

    @property
    def paths(self) -> list[str]:
        """Every file afterwards."""
        return sorted({*self.tree.paths, *self.new} - {*self.gone})


def merge(tree: Tree, config: str, staged: Sequence[StagedSplit]) -> Merge:
    """Places staged splits in the repository whose files ``tree`` lists.

    Raises:
        StateMismatchError: They would take the places of another configuration's files.
        CorruptShardError: The card that is there cannot be read.
    """
    known = read_configs(read_metadata(tree.readme, tree.standalone, tree.place), tree.place)
    before = _without_notes(find_holdings(tree), tree) if not known else find_holdings(tree)
    folder = _folder(tree, config, before)
    splits = [split.below(folder) for split in staged]
    gone = _outdated(splits, folder, tree.paths)
    made = Merge(config, splits, gone, [], {}, tree, before)
    _refuse_taken(made)
    kept = {
        split: files
        for split, files in (before[config].splits if config in before else {}).items()
        if split not in {one.name for one in splits}
    }
    return replace(made, kept=kept, configs=_entries(replace(made, kept=kept), known))


def _without_notes(before: Holdings, tree: Tree) -> Holdings:
    """What is here only by the names of files, without what is no data set: a licence, the pictures of a README."""
    kept = {name: layout for name, layout in before.items() if layout.format in FORMATS}
    for name, layout in before.items():
        if name not in kept and layout.format not in _NOTES:
            files = _files(before, name)
            warnings.warn(
                f"{tree.place} has no list of configurations, and {len(files)} files such as {files[0]}, which readers "
                f"took for its data ({layout.format}) and do not any more: they go by the list that this push makes",
                stacklevel=4,
            )
    return kept


def _folder(tree: Tree, config: str, before: Holdings) -> str:
    """The folder of a configuration's shards: where they lie already, else one that no other configuration has."""
    usual = "data" if config == "default" else config
    folders = [usual, f"config-{config}"]
    own = {posixpath.dirname(path) for path in _files(before, config)}
    if known := [folder for folder in folders if folder in own]:
        return known[0]
    others = {posixpath.dirname(path) for name in before if name != config for path in _files(before, name)}
    # `data` is left to the default configuration, which may be pushed later.
    free = [folder for folder in folders if folder not in others and (folder, config) != ("data", "data")]
    if not free:
        raise StateMismatchError(
            f"the folders {' and '.join(folders)} of {tree.place} have files of other configurations, so there is no "
            f"place for {config}; choose another name for it"
        )
    return free[0]


def _files(holdings: Holdings, config: str) -> list[str]:
    return [path for files in holdings[config].splits.values() for path in files] if config in holdings else []


def _outdated(splits: Sequence[StagedSplit], folder: str, there: Sequence[str]) -> list[str]:
    """Shards of earlier pushes of these splits: beside the new ones they would be read as well."""
    new = {file.path for one in splits for file in one.files}
    names = "|".join(re.escape(one.name) for one in splits)
    shard = re.compile(rf"{re.escape(folder)}/(?:{names})-\d{{5}}-of-\d{{5}}\.(?:parquet|tar)")
    return [path for path in there if path not in new and shard.fullmatch(path)]


def _others(made: Merge) -> Iterator[tuple[str, str, list[str]]]:
    """What is read before, configuration by configuration and split by split, and is not pushed."""
    pushed = {split.name for split in made.splits}
    for config, layout in made.before.items():
        for split, files in layout.splits.items():
            if files and (config != made.config or split not in pushed):
                yield config, split, files


def _replaced(made: Merge) -> set[str]:
    """Files of these very splits that are written anew or go: whoever else reads them means these splits."""
    splits = made.before[made.config].splits if made.config in made.before else {}
    pushed = {split.name for split in made.splits}
    own = {path for split, files in splits.items() if split in pushed for path in files}
    return own & {*made.new, *made.gone}


def _refuse_taken(made: Merge) -> None:
    changed = {*made.new, *made.gone} - _replaced(made)
    for config, split, files in _others(made):
        if taken := sorted(changed & {*files}):
            raise StateMismatchError(
                f"{taken[0]} of {made.tree.place} is read as split {split} of its configuration {config}, and would be "
                f"replaced by a push of configuration {made.config}; choose another name for that, or push {config}",
                taken[0],
            )


def _entries(made: Merge, known: Mapping[str, Config]) -> list[dict[str, Any]]:
    """The card's list of configurations: what stays says the same, and is written out where it would not."""
    metadata = read_metadata(made.tree.readme, made.tree.standalone, made.tree.place)
    entries = {str(one["config_name"]): dict(one) for one in metadata.get("configs") or ()}
    # What only the names of files told of is not looked for any more once there is a list.
    entries |= {name: {"config_name": name} for name in made.before if name not in entries}
    pushed = {split.name: split for split in made.splits}
    afterwards = find_holdings(replace(made.tree, paths=made.paths)) if known else {}
    for name, entry in entries.items():
        if name != made.config and not _stays(made, name, afterwards):
            _write_out(entry, {split: _paths(made, name, split, known.get(name)) for split in _names(made, name)})
    own = entries.setdefault(made.config, {"config_name": made.config})
    config = known.get(made.config)
    staying = [
        split for split in dict.fromkeys([*_patterns(config), *_names(made, made.config)]) if split not in pushed
    ]
    kept = {split: _paths(made, made.config, split, config) for split in staying}
    made_now = {split: [_pattern(made, one)] for split, one in pushed.items()}
    _write_out(own, {**made_now, **{split: paths for split, paths in kept.items() if paths}})
    return list(entries.values())


def _write_out(entry: dict[str, Any], listed: Mapping[str, Sequence[str]]) -> None:
    # Paths are from the root.
    entry.pop("data_dir", None)
    entry["data_files"] = [
        {"split": split, "path": paths[0] if len(paths) == 1 else list(paths)} for split, paths in listed.items()
    ]


def _names(made: Merge, config: str) -> list[str]:
    return list(made.before[config].splits) if config in made.before else []


def _stays(made: Merge, name: str, afterwards: Holdings) -> bool:
    """Whether readers would find the files of a configuration as before if the card says of it what it does."""
    if name not in made.before:
        return True
    if name not in afterwards:
        return False
    then, replaced = afterwards[name].splits, _replaced(made)
    return then.keys() == made.before[name].splits.keys() and all(
        replaced & {*files} or sorted(then[split]) == sorted(files) for split, files in made.before[name].splits.items()
    )


def _patterns(config: Config | None) -> Patterns:
    """What a card lists for a configuration, from the root; nothing where it lists nothing."""
    if config is None or config.patterns is None:
        return {}
    return {
        split: [posixpath.normpath(posixpath.join(config.data_dir or "", pattern)) for pattern in patterns]
        for split, patterns in config.patterns.items()
    }


def _paths(made: Merge, name: str, split: str, config: Config | None) -> list[str]:
    """How the card names the files of a split that stays: as it did, by a short pattern, or one by one."""
    listed = _patterns(config).get(split)
    files = made.before[name].splits.get(split, []) if name in made.before else []
    if listed is not None and (not files or _replaced(made) & {*files}):
        return listed
    shorter = {f"{posixpath.dirname(path)}/{split}-*{posixpath.splitext(path)[1]}".lstrip("/") for path in files}
    for patterns in (listed, sorted(shorter)):
        if patterns is not None and _read_by(patterns, made.paths) == sorted(files):
            return patterns
    return [glob.escape(path) for path in files]


def _pattern(made: Merge, split: StagedSplit) -> str:
    """The pattern of a split that is pushed; one that is closer where others' files have such names."""
    folder, _, name = split.files[0].path.rpartition("/")
    suffix = posixpath.splitext(name)[1]
    pattern = f"{folder}/{split.name}-*{suffix}"
    is_exact = _read_by([pattern], made.paths) == sorted(file.path for file in split.files)
    return pattern if is_exact else f"{folder}/{split.name}-{'[0-9]' * 5}-of-{'[0-9]' * 5}{suffix}"


def _read_by(patterns: Sequence[str], paths: Sequence[str]) -> list[str]:
    return sorted({path for pattern in patterns for path in match(pattern, paths, data_only=True)})


def check_merge(made: Merge, card: str) -> None:
    """That readers will find what is pushed, and all else as before, under a card.

    Raises:
        StateMismatchError: They would not; the text says what, and why.
    """
    tree = replace(made.tree, paths=made.paths, readme=card)
    after, replaced = find_holdings(tree), _replaced(made)
    for one in made.splits:
        _check(tree, after, made.config, one.name, [file.path for file in one.files], one.format)
    for config, split, files in _others(made):
        if not replaced & {*files}:
            _check(tree, after, config, split, files, made.before[config].format)
        elif config not in after or not after[config].splits.get(split):
            raise _refused(tree, config, split, "files that it had are replaced")
    try:
        default_config(read_configs(read_metadata(card, tree.standalone, tree.place), tree.place), tree.place)
    except RowmillError as error:
        raise _refused(tree, made.config, "any", str(error)) from None


def _check(tree: Tree, after: Holdings, config: str, split: str, files: Sequence[str], format_: str) -> None:
    if config not in after:
        try:
            find_layout(tree, config)
        except (RowmillError, ValueError) as error:
            raise _refused(tree, config, split, str(error)) from None
    found = sorted(after[config].splits.get(split, []))
    if found != sorted(files):
        raise _refused(tree, config, split, f"its files would be {', '.join(found[:8]) or 'none'}")
    if after[config].format != format_:
        why = f"readers take the files of all configurations for {after[config].format}, and these are {format_}"
        raise _refused(tree, config, split, why)


def _refused(tree: Tree, config: str, split: str, why: str) -> StateMismatchError:
    return StateMismatchError(
        f"nothing was pushed: with this push, split {split} of configuration {config} of {tree.place} could not be "
        f"read: {why}. Push to another repository, or mend README.md (or .huggingface.yaml) there first",
        f"{tree.place}/README.md",
    )
