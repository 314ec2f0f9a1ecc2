"""Whether the ranks of a planned job take equal steps, and enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rowmill.exceptions import RowmillError
from rowmill.hub.report import Report

if TYPE_CHECKING:
    from rowmill.dataset import Dataset

__all__ = ["Job", "check_steps"]

_NUM_LANES = 64


@dataclass(frozen=True)
class Job:
    """What is planned; the arguments of ``rowmill.hub.preflight``.

    Attributes:
        index_command: What counts the tokens of a repository; None for other data, whose paths tell it.
    """

    ranks: int
    workers: int
    batch_size: int | None
    steps: int | None
    seq_len: int | None
    columns: Sequence[str] | None
    tokenizer: str | None
    repeat: bool
    index_command: str | None = None

    @property
    def consumers(self) -> int:
        """Those that read at the same time."""
        return self.ranks * self.workers

    @property
    def num_lanes(self) -> int:
        """The usual number of lanes, or the next one that the consumers divide."""
        return -(-_NUM_LANES // self.consumers) * self.consumers

    @property
    def column(self) -> str:
        """The column that is packed."""
        return self.columns[0] if self.columns else "input_ids" if self.tokenizer is None else "text"


def check_steps(report: Report, dataset: Dataset, job: Job) -> None:
    """Notes the steps an epoch, and what is wrong with them."""
    consumers = job.consumers
    if job.seq_len is not None and job.num_lanes != _NUM_LANES:
        report.problems.append(
            f"{consumers:,} consumers do not share {_NUM_LANES} lanes evenly, which packing wants: say "
            f".shuffle(num_lanes={job.num_lanes})"
        )
    if dataset.num_rows < consumers:
        report.problems.append(f"{dataset.num_rows:,} rows for {consumers:,} consumers: some have nothing to read")
    if job.batch_size is None:
        return
    items = dataset if job.seq_len is None else _packed(report, dataset, job)
    if items is not None:
        _compare(report, items, job)


def _packed(report: Report, dataset: Dataset, job: Job) -> Dataset | None:
    """The samples of an epoch, where it is known how many they are."""
    from rowmill.token_index import find_index, how_to_build, num_tokens

    if job.column not in dataset.column_names:
        # That is told where columns are looked at.
        return None
    try:
        packed = _samples(dataset, job)
        counts = find_index(packed._plan)
    except (RowmillError, OSError, ValueError) as error:
        report.warnings.append(f"how many steps follow cannot be told: {' '.join(str(error).split())}")
        return None
    if counts is not None:
        report.facts["tokens_per_epoch"] = num_tokens(packed._plan, 0)
        return packed
    report.warnings.append(
        "how many steps an epoch of packed samples has, and whether all ranks take as many, was not checked: the "
        f"tokens were not counted. This counts them once: {job.index_command or how_to_build(packed._plan)}. Without "
        "counts let lanes run on by .repeat(), and end by .take(steps)"
    )
    return None


def _samples(dataset: Dataset, job: Job) -> Dataset:
    from rowmill.hub.tokenizer import find_tokenizer

    assert job.seq_len is not None, "asked for where text is packed"
    shuffled = dataset.shuffle(0, num_lanes=job.num_lanes)
    if job.tokenizer is None:
        return shuffled.pack(job.seq_len, column=job.column)
    return shuffled.tokenize(find_tokenizer(job.tokenizer), column=job.column).pack(job.seq_len)


def _compare(report: Report, items: Dataset, job: Job) -> None:
    per_rank = [len(_batches_of(items, job, rank)) for rank in sorted({0, job.ranks - 1})]
    fewest, steps = min(per_rank), job.steps
    report.facts["steps_per_epoch"] = fewest
    report.facts["equal_steps"] = len(set(per_rank)) == 1
    if len(set(per_rank)) > 1:
        report.problems.append(f"ranks take {fewest:,} to {max(per_rank):,} steps; a collective would hang")
    if fewest == 0:
        what = f"{items.num_rows:,} rows" if job.seq_len is None else "the samples of an epoch"
        report.problems.append(
            f"{what} are fewer than one step of {job.ranks} x {job.batch_size} takes; all ranks have nothing"
        )
    elif steps is not None:
        report.facts["epochs"] = round(steps / fewest, 3)
        if steps > fewest and not job.repeat:
            report.problems.append(
                f"{steps:,} steps are {steps / fewest:.2f} epochs of {fewest:,}: the job needs .repeat(); where it has "
                "that, say repeat (--repeat)"
            )


def _batches_of(items: Dataset, job: Job, rank: int) -> Dataset:
    """The batches of one rank of the job."""
    from rowmill.dataset import Dataset as Made

    assert job.batch_size is not None, "asked for where steps are counted"
    return Made(items._plan.with_(rank=None)).shard(job.ranks, rank).batch(job.batch_size)
