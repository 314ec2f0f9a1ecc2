"""``rowmill.hub.preflight``: what would stop a job, or slow it down, found out before it waits in a queue."""

from __future__ import annotations

import os
import shlex
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.arguments import positive
from rowmill.exceptions import RowmillError
from rowmill.hub.card import read_metadata
from rowmill.hub.planned_steps import Job, check_steps
from rowmill.hub.promised import check_promised
from rowmill.hub.report import Report
from rowmill.hub.whole_folder import check_folder

if TYPE_CHECKING:
    from rowmill.dataset import Dataset
    from rowmill.hub.repository import Repository

__all__ = ["preflight"]

_DATA = (".arrow", ".parquet", ".tar", ".jsonl", ".csv", ".tsv", ".gz", ".zst")
_FEW_FREE = 1 << 30
_MOST_NAMED = 8


def preflight(
    path_or_repo: str | os.PathLike[str],
    *,
    ranks: int = 1,
    batch_size: int | None = None,
    steps: int | None = None,
    seq_len: int | None = None,
    workers: int = 1,
    name: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    columns: Sequence[str] | None = None,
    tokenizer: str | None = None,
    token: str | bool | None = None,
    streaming: bool = False,
    repeat: bool = False,
) -> Report:
    """Looks at a data set as the job will see it; downloads nothing.

    Files or a repository are there, complete against the commit, of one format; every shard opens, and its first and
    last rows are read; columns and counts are as asked for and as promised; the ranks have equal steps, and enough of
    them; the tokenizer is there.

    Args:
        path_or_repo: Files, a folder, a glob, URLs, or a repository of the Hub that was downloaded.
        ranks: Ranks of the job.
        batch_size: Rows (or packed samples) of each rank a step.
        steps: Steps that are planned.
        seq_len: Tokens of a packed sample, where text is packed.
        workers: DataLoader workers of each rank; 1 for ``ds.loader()``.
        name: Configuration of a repository.
        split: The split; "train" of a repository when None.
        revision: Revision of a repository.
        columns: Columns that the job reads.
        tokenizer: A name or path, as for ``.tokenize``.
        token: For private repositories.
        streaming: Whether the job reads what is not here over the network: then it is read so here as well, footers and
            the first and last blocks.
        repeat: Whether the job goes over the data again (``.repeat()``): then more steps than an epoch has are no
            problem.

    Returns:
        A report: ``ok``, ``problems``, ``warnings`` and ``facts``, among them ``steps_per_epoch`` and ``equal_steps``
        where ``batch_size`` is given; with ``seq_len`` they are those of concatenated samples in a shuffled order, and
        want the tokens to be counted (``rowmill index --tokens``).

    Raises:
        ValueError: An argument is no count, or ``steps`` comes without ``batch_size``.
    """
    ranks, workers = positive("ranks", ranks, 1), positive("workers", workers, 1)
    for what, value in (("batch_size", batch_size), ("steps", steps), ("seq_len", seq_len)):
        positive(what, value, 1)
    if steps is not None and batch_size is None:
        raise ValueError("steps= are counted in batches: say batch_size= (--batch-size) as well")
    job = Job(ranks, workers, batch_size, steps, seq_len, columns, tokenizer, repeat)
    report = Report(facts={"data": os.fspath(path_or_repo), "ranks": ranks, "workers": workers})
    place = os.fspath(path_or_repo)
    if _is_url(place):
        dataset = _opened(report, lambda: _open_url(report, place))
    elif _is_local(place):
        dataset = _opened(report, lambda: _open_local(report, place, name, split))
    else:
        dataset = _opened(report, lambda: _open_repository(report, place, name, split, revision, token, streaming))
        job = replace(job, index_command=_index_command(place, name, split, report.facts.get("sha"), job))
    if dataset is not None:
        _check_shards(report, dataset)
        _check_columns(report, dataset, columns, seq_len, tokenizer)
        _check_blocks(report, dataset, job)
        check_steps(report, dataset, job)
    if tokenizer is not None:
        _check_tokenizer(report, tokenizer)
    return report


def _index_command(repo: str, name: str | None, split: str | None, sha: str | None, job: Job) -> str:
    """What counts the tokens of a repository."""
    options = [("--name", name), ("--split", split), ("--revision", sha), ("--tokens", job.tokenizer)]
    options.append(("--token-column" if job.tokenizer is None else "--column", job.column))
    return f"rowmill index {repo}" + "".join(f" {key} {shlex.quote(value)}" for key, value in options if value)


def _is_local(place: str) -> bool:
    return os.path.exists(place) or any(sign in place for sign in "*?[") or place.startswith((".", "/", "~"))


def _is_url(place: str) -> bool:
    from rowmill.hub.urls import is_url
    from rowmill.remote.urls import is_elsewhere, is_remote

    return is_url(place) or is_remote(place) or is_elsewhere(place)


def _opened(report: Report, make: Callable[[], Dataset | None]) -> Dataset | None:
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            opened = make()
    except (RowmillError, OSError, ValueError, ImportError) as error:
        report.problems.append(" ".join(str(error).split()))
        return None
    report.warnings += [" ".join(str(warning.message).split()) for warning in caught]
    if opened is None:
        return None
    facts = opened.describe(ranks=report.facts["ranks"])
    for key in ("num_rows", "num_shards", "num_blocks", "num_bytes", "formats", "columns", "fingerprint"):
        report.facts[key] = facts[key]
    report.warnings += facts["warnings"]
    report.problems += [f"{path} is not of the format of the others" for path in facts["unread_files"]]
    if opened.num_rows == 0:
        report.problems.append("there are no rows")
    return opened


def _open_url(report: Report, url: str) -> Dataset:
    from rowmill.opening import open as open_shards

    _warn_of_network(report)
    return open_shards(url).shard(1, 0)


def _warn_of_network(report: Report) -> None:
    report.warnings.append(
        "rows come over the network while the job runs: its nodes need it, and HF_HUB_OFFLINE must not be set where "
        "they are of the Hub"
    )


def _open_local(report: Report, place: str, name: str | None, split: str | None) -> Dataset:
    from rowmill.hub.load import load_dataset
    from rowmill.opening import open as open_shards

    folder = Path(place)
    if folder.is_dir():
        check_folder(report, folder)
    _check_room(report, folder if folder.exists() else Path())
    told = _told(folder)
    has_layout = folder.is_dir() and not any(path.is_file() and path.suffix in _DATA for path in folder.iterdir())
    if not has_layout and name is None and split is None and told.keys().isdisjoint(("configs", "dataset_info")):
        return open_shards(place).shard(1, 0)
    found = load_dataset(folder.absolute(), name, split=split or "train")
    check_promised(report, told, place, name=name, split=split or "train", num_rows=found.num_rows)
    return found.shard(1, 0)


def _told(folder: Path) -> dict[str, Any]:
    """What the card of a folder says."""
    notes = [folder / name for name in ("README.md", ".huggingface.yaml")]
    texts = [note.read_text(encoding="utf-8", errors="replace") if note.is_file() else None for note in notes]
    return read_metadata(texts[0], texts[1], str(folder))


def _open_repository(
    report: Report,
    repo: str,
    name: str | None,
    split: str | None,
    revision: str | None,
    token: Any,
    streaming: bool,
) -> Dataset | None:
    from rowmill.hub.load import load_dataset
    from rowmill.hub.repository import open_repository
    from rowmill.hub.settings import find_settings

    settings = find_settings(token=token)
    repository = open_repository(repo, revision, settings)
    report.facts |= {"repo": repo, "sha": repository.sha}
    if streaming and not settings.is_offline:
        # Offline nothing is streamed: what is not here is a problem then, as it will be in the job.
        _warn_of_network(report)
        found = load_dataset(repo, name, split=split or "train", revision=repository.sha, token=token, streaming=True)
        told = _metadata(repository)
        check_promised(report, told, repository.place, name=name, split=split or "train", num_rows=found.num_rows)
        return found.shard(1, 0)
    if not settings.is_offline:
        report.warnings.append(
            "HF_HUB_OFFLINE is not set: set it to 1 in the job, so that no rank asks the network, and pin the commit"
        )
    if not _check_complete(report, repository, name, split):
        return None
    found = load_dataset(repo, name, split=split or "train", revision=repository.sha, token=token, offline=True)
    told = _metadata(repository)
    check_promised(report, told, repository.place, name=name, split=split or "train", num_rows=found.num_rows)
    return found.shard(1, 0)


def _check_complete(report: Report, repository: Repository, name: str | None, split: str | None) -> bool:
    """Whether every file that the job reads is here, with the size that the commit says."""
    from rowmill.hub.downloading import chosen_files

    notes: list[str] = [path for path in ("README.md", ".huggingface.yaml") if path in repository.listing]
    if any(not repository.is_here(path) for path in notes):
        # Which files are read stands in there.
        missing = [path for path in repository.listing if not repository.is_here(path)]
    else:
        missing = [path for path in chosen_files(repository, name, split or "train") if not repository.is_here(path)]
    needed = sum(repository.listing[path].size for path in missing)
    _check_room(report, repository.settings.hub_cache, needed)
    if missing:
        shown = ", ".join(missing[:_MOST_NAMED]) + (" ..." if len(missing) > _MOST_NAMED else "")
        options = [("--name", name), ("--split", split), ("--revision", repository.sha)]
        given = "".join(f" {key} {shlex.quote(value)}" for key, value in options if value)
        command = f"rowmill download {repository.repo}{given}"
        report.problems.append(
            f"{len(missing)} of the files of {repository.place} are not here ({needed:,} bytes): {shown}. This fetches "
            f"them: {command}"
        )
    return not missing


def _metadata(repository: Repository) -> dict[str, Any]:
    texts = [repository.read_text(name) for name in ("README.md", ".huggingface.yaml")]
    return read_metadata(texts[0], texts[1], repository.place)


def _check_room(report: Report, place: Path, needed: int = 0) -> None:
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    report.facts["free_bytes"] = free
    if needed > free:
        report.problems.append(f"{place} has {free:,} bytes left, and {needed:,} are needed")
    elif free < _FEW_FREE:
        report.warnings.append(f"{place} has only {free:,} bytes left")


def _check_shards(report: Report, dataset: Dataset) -> None:
    """The first and the last row of each shard, and so its first and last blocks, are read."""
    from rowmill.describe import shard_facts

    first = 0
    for shard in shard_facts(dataset._plan.source.rust):
        num_rows = int(shard["num_rows"])
        if num_rows:
            try:
                dataset.fetch(sorted({first, first + num_rows - 1}))
            except (RowmillError, OSError, ValueError) as error:
                report.problems.append(" ".join(str(error).split()))
        first += num_rows


def _check_columns(
    report: Report, dataset: Dataset, columns: Sequence[str] | None, seq_len: int | None, tokenizer: str | None
) -> None:
    known = dataset.column_names
    for column in columns or ():
        if column not in known:
            report.problems.append(f"there is no column {column!r}; the columns are {', '.join(known)}")
    if seq_len is None or columns is not None:
        return
    wanted = "text" if tokenizer is not None else "input_ids"
    if wanted not in known:
        report.warnings.append(f"there is no column {wanted!r} to pack; name yours by columns")


def _check_blocks(report: Report, dataset: Dataset, job: Job) -> None:
    blocks = dataset._plan.source.rust.num_blocks
    if job.workers > 1 and blocks < job.consumers:
        report.warnings.append(
            f"{blocks:,} blocks for {job.consumers:,} consumers (ranks x workers): some read what others read as well; "
            "smaller row groups or record batches let each have its own"
        )


def _check_tokenizer(report: Report, tokenizer: str) -> None:
    from rowmill.hub.tokenizer import find_tokenizer
    from rowmill.tokenizers import resolve_tokenizer

    try:
        resolved = resolve_tokenizer(find_tokenizer(tokenizer))
    except (RowmillError, OSError, ValueError) as error:
        report.problems.append(" ".join(str(error).split()))
        return
    report.facts["tokenizer"] = resolved.name
    if resolved.eos_id is None:
        report.warnings.append(f"{resolved.name} names no end-of-text token; say which by eos_token=")
