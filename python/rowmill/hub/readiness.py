"""``rowmill.hub.preflight``: what would stop a job, or slow it down, found out before it waits in a queue."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.arguments import positive
from rowmill.exceptions import RowmillError
from rowmill.hub.report import Report
from rowmill.hub_cache import is_repo_name

if TYPE_CHECKING:
    from rowmill.dataset import Dataset
    from rowmill.hub.repository import Repository

__all__ = ["preflight"]

_NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.\w+)")
_NUM_LANES = 64
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

    Returns:
        A report: ``ok``, ``problems``, ``warnings`` and ``facts``.
    """
    ranks, workers = positive("ranks", ranks, 1), positive("workers", workers, 1)
    for what, value in (("batch_size", batch_size), ("steps", steps), ("seq_len", seq_len)):
        positive(what, value, 1)
    report = Report(facts={"data": os.fspath(path_or_repo), "ranks": ranks, "workers": workers})
    place = os.fspath(path_or_repo)
    if _is_url(place):
        dataset = _opened(report, lambda: _open_url(report, place))
    elif _is_local(place):
        dataset = _opened(report, lambda: _open_local(report, place, name, split))
    else:
        dataset = _opened(report, lambda: _open_repository(report, place, name, split, revision, token, streaming))
    if dataset is not None:
        _check_shards(report, dataset)
        _check_columns(report, dataset, columns, seq_len, tokenizer)
        _check_ranks(report, dataset, ranks, workers, seq_len)
        _check_steps(report, dataset, ranks, batch_size, steps, seq_len)
    if tokenizer is not None:
        _check_tokenizer(report, tokenizer)
    return report


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
        _check_folder(report, folder)
    _check_room(report, folder if folder.exists() else Path())
    has_layout = folder.is_dir() and not any(path.is_file() and path.suffix in _DATA for path in folder.iterdir())
    if has_layout or name is not None or split is not None:
        return load_dataset(folder.absolute(), name, split=split or "train").shard(1, 0)
    return open_shards(place).shard(1, 0)


def _check_folder(report: Report, folder: Path) -> None:
    """What is numbered or listed is all there."""
    numbered: dict[tuple[str, str, str], int] = {}
    for path in folder.rglob("*"):
        if found := _NUMBERED.fullmatch(path.relative_to(folder).as_posix()):
            key = found[1], found[3], found[4]
            numbered[key] = numbered.get(key, 0) + 1
    for (stem, of, suffix), number in numbered.items():
        if number != int(of):
            report.problems.append(f"{folder} has {number} of the {int(of)} files {stem}-*-of-{of}{suffix}")
    try:
        shards = json.loads((folder / "dataset.json").read_bytes())["shards"]
        sizes = {str(shard["name"]): int(shard["num_bytes"]) for shard in shards}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            report.problems.append(f"{path} is not there, and dataset.json lists it")
        elif path.stat().st_size != size:
            report.problems.append(f"{path} has {path.stat().st_size:,} bytes, and dataset.json says {size:,}")


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
        _check_promised(report, repository, name, split or "train", found.num_rows)
        return found.shard(1, 0)
    if not settings.is_offline:
        report.warnings.append(
            "HF_HUB_OFFLINE is not set: set it to 1 in the job, so that no rank asks the network, and pin the commit"
        )
    if not _check_complete(report, repository, name, split):
        return None
    found = load_dataset(repo, name, split=split or "train", revision=repository.sha, token=token, offline=True)
    _check_promised(report, repository, name, split or "train", found.num_rows)
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


def _check_promised(report: Report, repository: Repository, name: str | None, split: str, num_rows: int) -> None:
    """The rows are as many as the card says."""
    from rowmill.hub.card import read_metadata

    info = read_metadata(repository.read_text("README.md"), None, repository.place).get("dataset_info")
    for one in info if isinstance(info, list) else [info]:
        if not isinstance(one, dict) or one.get("config_name", name or "default") != (name or "default"):
            continue
        splits = one.get("splits")
        promised = [
            part.get("num_examples") for part in splits or () if isinstance(part, dict) and part.get("name") == split
        ]
        if promised and promised[0] != num_rows:
            report.problems.append(f"split {split} has {num_rows:,} rows, and the card promises {promised[0]:,}")


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


def _check_ranks(report: Report, dataset: Dataset, ranks: int, workers: int, seq_len: int | None) -> None:
    consumers = ranks * workers
    blocks = dataset._plan.source.rust.num_blocks
    if workers > 1 and blocks < consumers:
        report.warnings.append(
            f"{blocks:,} blocks for {consumers:,} consumers (ranks x workers): some read what others read as well; "
            "smaller row groups or record batches let each have its own"
        )
    if seq_len is not None and _NUM_LANES % consumers:
        fitting = -(-_NUM_LANES // consumers) * consumers
        report.problems.append(
            f"{consumers:,} consumers do not share {_NUM_LANES} lanes evenly, which packing wants: say "
            f".shuffle(num_lanes={fitting})"
        )
    if dataset.num_rows < consumers:
        report.problems.append(f"{dataset.num_rows:,} rows for {consumers:,} consumers: some have nothing to read")


def _check_steps(
    report: Report, dataset: Dataset, ranks: int, batch_size: int | None, steps: int | None, seq_len: int | None
) -> None:
    if batch_size is None:
        return
    if seq_len is not None:
        if ranks > 1:
            report.warnings.append(
                "how many packed samples an epoch has is not known before it is read: let lanes run on by .repeat(), "
                "and end by .take(steps), so that all ranks take as many steps"
            )
        return
    per_rank = [len(_batches_of(dataset, ranks, rank, batch_size)) for rank in {0, ranks - 1}]
    report.facts["steps_per_epoch"] = per_rank[0]
    if len(set(per_rank)) > 1:
        report.problems.append(f"ranks take {min(per_rank):,} to {max(per_rank):,} steps; a collective would hang")
    if per_rank[0] == 0:
        report.problems.append(
            f"{dataset.num_rows:,} rows are fewer than one step of {ranks} x {batch_size} takes; all ranks have nothing"
        )
    elif steps is not None:
        report.facts["epochs"] = round(steps / per_rank[0], 3)
        if steps > per_rank[0]:
            report.warnings.append(
                f"{steps:,} steps are {steps / per_rank[0]:.2f} epochs of {per_rank[0]:,}: the loop needs .repeat()"
            )


def _batches_of(dataset: Dataset, ranks: int, rank: int, batch_size: int) -> Dataset:
    """The batches of one rank of the job."""
    from rowmill.dataset import Dataset as Made

    return Made(dataset._plan.with_(rank=None)).shard(ranks, rank).batch(batch_size)


def _check_tokenizer(report: Report, tokenizer: str) -> None:
    from rowmill.hub.tokenizer import cached_tokenizer
    from rowmill.tokenizers import resolve_tokenizer

    is_name = is_repo_name(tokenizer) and tokenizer != "bytes" and not os.path.exists(tokenizer)
    try:
        resolved = resolve_tokenizer((cached_tokenizer(tokenizer) if is_name else None) or tokenizer)
    except (RowmillError, OSError, ValueError) as error:
        report.problems.append(" ".join(str(error).split()))
        return
    report.facts["tokenizer"] = resolved.name
    if resolved.eos_id is None:
        report.warnings.append(f"{resolved.name} names no end-of-text token; say which by eos_token=")
