"""``rowmill.hub.push``: a data set to the Hub in one commit, and the proof that it has arrived."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowmill.arguments import positive
from rowmill.conversion.progress import Bar
from rowmill.exceptions import CorruptShardError, SchemaMismatchError, StateMismatchError
from rowmill.folders import cache_folder
from rowmill.hub.dataset_cards import make_card
from rowmill.hub.listing import Listing
from rowmill.hub.manifests import make_manifest
from rowmill.hub.names import check_repo_name, check_revision
from rowmill.hub.report import Report
from rowmill.hub.settings import find_settings
from rowmill.hub.staging import SHARD_BYTES, StagedSplit, find_splits, stage
from rowmill.hub.verifying import verify
from rowmill.hub.writing import Upload, Writer, missing

__all__ = ["Pushed", "push"]

_NUM_UPLOADS = 4
_README = "README.md"
_WORD = re.compile(r"(?=.*\w)[\w.-]+")


@dataclass(frozen=True)
class Pushed:
    """What a push has done.

    Attributes:
        repo: The repository.
        sha: The commit that holds it.
        url: Its page.
        tag: The tag that names the commit, or None.
        num_rows: Rows by split.
        num_files: Shards.
        num_bytes: Bytes of the shards.
        num_uploaded: Files of this push that were not there before.
        report: What the verification found.
    """

    repo: str
    sha: str
    url: str
    tag: str | None
    num_rows: dict[str, int]
    num_files: int
    num_bytes: int
    num_uploaded: int
    report: Report

    def as_dict(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return {**self.__dict__, "report": self.report.as_dict()}


def push(
    source: Any,
    repo: str,
    *,
    split: str | None = None,
    config: str = "default",
    columns: Sequence[str] | None = None,
    column: str | None = None,
    license: str | None = None,
    private: bool = True,
    tag: str | None = None,
    message: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    deep: bool = False,
    token: str | bool | None = None,
) -> Pushed:
    """Pushes a data set to the Hub: shards of Parquet (or tars as they lie), a card, one commit; then verifies it.

    Objects are uploaded first, and named by one commit at the end, so that readers never see half. After a kill the
    same call goes on: shards that are made are not made again, and objects that have arrived are not uploaded again.
    Nothing is said to be done before every size and hash was listed anew at the commit, and the rows counted there.

    Args:
        source: A folder or paths of shards, a dataset, or a dict of these by split. A folder whose folders are called
            train, validation or test has these splits.
        repo: "owner/name"; made where it is not there.
        split: The split that this is; "train" where nothing says.
        config: The configuration that this is.
        columns: Only these columns.
        column: Which column is a row's text, where several are layers of the same; the card says so. Columns are never
            joined.
        license: As the Hub spells it ("apache-2.0", "cc-by-4.0"); that of the card that is there, else "unknown".
        private: Whether only the owner sees a repository that is made here.
        tag: A name for the commit, such as "v1.0".
        message: The commit's message.
        shard_bytes: About the bytes of a shard.
        deep: Read every row back as well, through pyarrow over the network.
        token: With the right to write; the user's own when None.

    Raises:
        AccessDeniedError: The token may not write there.
        StateMismatchError: The tag names another commit, or somebody else has committed meanwhile.
        SchemaMismatchError: There is no such column, or nobody knows how many rows there are.
        CorruptShardError: What has arrived is not what was sent; the text lists the differences.
        OfflineError: The Hub cannot be reached.
    """
    settings = find_settings(token=token)
    _check_names(repo, config, split, tag)
    writer = Writer(repo, settings)
    datasets = find_splits(source, split, config)
    for name in datasets:
        _check_names(repo, config, name, tag)
    left_out = _check_columns(datasets, columns, column)
    place = "data" if config == "default" else config
    shard_bytes = positive("shard_bytes", shard_bytes, SHARD_BYTES)
    splits = [
        stage(name, one, repo=repo, columns=columns, shard_bytes=shard_bytes, folder=place)
        for name, one in datasets.items()
    ]
    writer.make(private=private)
    if private and not writer.is_private():
        warnings.warn(f"{repo} was there before and is public; private=True does not change that", stacklevel=2)
    parent = writer.commit_of("main")
    tags = writer.tags() if tag is not None else {}
    there = writer.listing(parent)
    previous = _previous_card(source, writer, parent, there)
    card = make_card(repo, config, splits, license=license, column=column, left_out=left_out, previous=previous)
    shards = [file for one in splits for file in one.files]
    files = [*shards, Upload(_README, card.encode()), make_manifest(config, splits, column, None, {})]
    sha, num_uploaded = _commit(writer, files, there, parent, splits, message or _message(splits), tag, tags)
    if tag is not None and tags.get(tag) != sha:
        writer.tag(tag, sha)
    report = verify(
        repo, sha, against=datasets if deep else None, config=config, columns=columns, deep=deep, token=token
    )
    listing = writer.listing(sha)
    report.problems += [f"{file.path} is not there as it was sent" for file in missing(files, listing)]
    if not report.ok:
        raise CorruptShardError(
            f"{repo} at {sha} is not what was pushed: {'; '.join(report.problems)}. Push again, or look at the commit",
            repo,
        )
    done = Pushed(
        repo=repo,
        sha=sha,
        url=f"{settings.shown}/datasets/{repo}/tree/{sha}",
        tag=tag,
        num_rows={one.name: one.num_rows for one in splits},
        num_files=len(shards),
        num_bytes=sum(file.size for file in shards),
        num_uploaded=num_uploaded,
        report=report,
    )
    _forget(splits)
    return done


def _check_names(repo: str, config: str, split: str | None, tag: str | None) -> None:
    check_repo_name(repo)
    if "/" not in repo:
        raise ValueError(f"a repository that is pushed to is named with its owner, as in owner/{repo}")
    for name, value in (("config", config), ("split", split)):
        if value is not None and not _WORD.fullmatch(value):
            raise ValueError(f"{name} must be letters, digits, _ . and -, not {value!r}")
    if tag is not None:
        check_revision(tag, repo)


def _check_columns(datasets: dict[str, Any], columns: Sequence[str] | None, column: str | None) -> list[str]:
    """The columns that are left out; SchemaMismatchError where one that was asked for is not there."""
    left_out: dict[str, None] = {}
    for name, dataset in datasets.items():
        known = dataset.column_names
        for wanted in [*(columns or ()), *([] if column is None else [column])]:
            if wanted not in known:
                raise SchemaMismatchError(f"split {name} has no column {wanted!r}; it has {', '.join(known)}")
        if columns is not None:
            if column is not None and column not in columns:
                raise SchemaMismatchError(f"column {column!r} is not among the columns that are pushed")
            left_out |= dict.fromkeys(one for one in known if one not in columns)
    return list(left_out)


def _previous_card(source: Any, writer: Writer, sha: str, there: Listing) -> str | None:
    """The README beside the data, else that of the repository."""
    if isinstance(source, str | os.PathLike) and (own := Path(source) / _README).is_file():
        return own.read_text(encoding="utf-8")
    if _README not in there:
        return None
    with writer.remote_file(_README, sha) as file:
        return bytes(file.read()).decode("utf-8", "replace")


def _commit(
    writer: Writer,
    files: Sequence[Upload],
    there: Listing,
    parent: str,
    splits: Sequence[StagedSplit],
    message: str,
    tag: str | None,
    tags: dict[str, str],
) -> tuple[str, int]:
    """The commit that has all files, made here unless it is there already; and how many were not there before."""
    todo, gone = missing(files, there), _outdated(splits, there)
    if tag is not None and tag in tags and (todo or gone or tags[tag] != parent):
        raise StateMismatchError(
            f"{writer.repo} has a tag {tag} already, of commit {tags[tag]}; choose another: whoever pins it means that"
        )
    if not todo and not gone:
        return parent, 0
    with (
        Bar(f"uploading to {writer.repo}", sum(file.size for file in todo), is_bytes=True) as bar,
        ThreadPoolExecutor(_NUM_UPLOADS) as pool,
    ):
        tasks = [pool.submit(writer.upload, file, "main") for file in todo]
        try:
            for file, task in zip(todo, tasks, strict=True):
                task.result()
                bar.add(file.size)
        except BaseException:
            # What has arrived stays, and is not uploaded again.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return writer.commit(todo, gone, parent=parent, branch="main", message=message), len(todo)


def _outdated(splits: Sequence[StagedSplit], there: Listing) -> list[str]:
    """Shards of earlier pushes of these splits: beside the new ones they would be read as well."""
    new = {file.path for one in splits for file in one.files}
    starts = tuple(f"{one.files[0].path.rpartition('/')[0]}/{one.name}-" for one in splits)
    return [
        path for path in there if path.startswith(starts) and path not in new and path.endswith((".parquet", ".tar"))
    ]


def _message(splits: Sequence[StagedSplit]) -> str:
    return "Push " + ", ".join(f"{one.name} ({one.num_rows:,} rows)" for one in splits) + " with rowmill"


def _forget(splits: Sequence[StagedSplit]) -> None:
    """Removes the shards that were made for the push; those of the user stay."""
    root = cache_folder() / "push"
    for one in splits:
        for file in one.files:
            if isinstance(file.source, Path) and file.source.parent.parent == root:
                shutil.rmtree(file.source.parent, ignore_errors=True)
