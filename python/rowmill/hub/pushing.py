"""``rowmill.hub.push``: a data set to the Hub in one commit, and the proof that it has arrived."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rowmill.arguments import positive
from rowmill.exceptions import CorruptShardError, RowmillError, SchemaMismatchError
from rowmill.hub.committing import alone, commit
from rowmill.hub.dataset_cards import make_card
from rowmill.hub.listing import Listing
from rowmill.hub.manifests import make_manifest, manifest_path
from rowmill.hub.merging import check_merge, merge
from rowmill.hub.names import check_repo_name, check_revision
from rowmill.hub.patterns import check_split
from rowmill.hub.report import Report
from rowmill.hub.settings import find_settings
from rowmill.hub.staging import SHARD_BYTES, StagedSplit, find_splits, forget, stage
from rowmill.hub.verifying import verify
from rowmill.hub.writing import Upload, Writer, missing

__all__ = ["Pushed", "push"]

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
        StateMismatchError: The tag names another commit, somebody else has committed meanwhile, or what the repository
            holds besides could not be read any more.
        ValueError: No repository, configuration or split can be called that.
        SchemaMismatchError: There is no such column, or nobody knows how many rows there are.
        CorruptShardError: What has arrived is not what was sent; the text lists the differences.
        OfflineError: The Hub cannot be reached.
    """
    _check_names(repo, config, tag)
    if split is not None:
        check_split(split)
    writer = Writer(repo, find_settings(token=token))
    datasets = find_splits(source, split, config)
    for name in datasets:
        check_split(name)
    left_out = _check_columns(datasets, columns, column)
    shard_bytes = positive("shard_bytes", shard_bytes, SHARD_BYTES)
    with alone(repo):
        staged = [
            stage(name, one, repo=repo, columns=columns, shard_bytes=shard_bytes) for name, one in datasets.items()
        ]
        writer.make(private=private)
        if private and not writer.is_private():
            warnings.warn(f"{repo} was there before and is public; private=True does not change that", stacklevel=2)
        parent = writer.commit_of("main")
        there = writer.listing(parent)
        made = merge(writer.tree(parent, there), config, staged)
        measure = partial(_measure, writer, parent, there)
        card = make_card(
            repo, made, license=license, column=column, left_out=left_out, own=_own_card(source), measure=measure
        )
        check_merge(made, card)
        listed = manifest_path(config)
        previous = writer.read(listed, parent) if listed in there else None
        shards = [file for one in made.splits for file in one.files]
        notes = [Upload(_README, card.encode()), make_manifest(config, made.splits, column, previous, made.kept)]
        files = [*shards, *notes]
        sha, num_uploaded = commit(writer, files, made.gone, there, parent, message or _message(staged), tag)
        report = verify(
            repo, sha, against=datasets if deep else None, config=config, columns=columns, deep=deep, token=token
        )
        listing = writer.listing(sha)
        report.problems += [f"{file.path} is not there as it was sent" for file in missing(files, listing)]
        if not report.ok:
            raise CorruptShardError(
                f"{repo} at {sha} is not what was pushed: {'; '.join(report.problems)}. Push again, or look at the "
                "commit",
                repo,
            )
        done = Pushed(
            repo=repo,
            sha=sha,
            url=f"{writer.settings.shown}/datasets/{repo}/tree/{sha}",
            tag=tag,
            num_rows={one.name: one.num_rows for one in staged},
            num_files=len(shards),
            num_bytes=sum(file.size for file in shards),
            num_uploaded=num_uploaded,
            report=report,
        )
        forget(staged)
    return done


def _check_names(repo: str, config: str, tag: str | None) -> None:
    check_repo_name(repo)
    if "/" not in repo:
        raise ValueError(f"a repository that is pushed to is named with its owner, as in owner/{repo}")
    if not _WORD.fullmatch(config):
        raise ValueError(f"config must be letters, digits, _ . and -, not {config!r}")
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


def _own_card(source: Any) -> tuple[str, str] | None:
    """The folder and the text of a README beside the data."""
    if isinstance(source, str | os.PathLike) and (own := Path(source) / _README).is_file():
        return str(own.parent), own.read_text(encoding="utf-8")
    return None


def _measure(writer: Writer, sha: str, there: Listing, files: Sequence[str]) -> tuple[int, int | None]:
    """Bytes of files that are there, and their rows where they are Parquet that can be read."""
    num_bytes = sum(there[path].size for path in files)
    if not all(path.endswith(".parquet") for path in files):
        return num_bytes, None
    try:
        return num_bytes, sum(writer.footer(path, sha).num_rows for path in files)
    except RowmillError:
        raise
    except (OSError, ValueError):
        # What is damaged was so before, and has no count.
        return num_bytes, None


def _message(splits: Sequence[StagedSplit]) -> str:
    return "Push " + ", ".join(f"{one.name} ({one.num_rows:,} rows)" for one in splits) + " with rowmill"
