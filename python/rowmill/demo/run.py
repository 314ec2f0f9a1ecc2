"""The demo's story: two sources, training, a kill, a resume on other ranks, the proof that the stream is the same."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rowmill
from rowmill.demo.jobs import run_job
from rowmill.demo.sources import write_sources
from rowmill.demo.stream import read_receipts, read_steps, sample_digests, step_digests, stream_digest
from rowmill.demo.teller import Teller
from rowmill.demo.train import NUM_LANES, SEQUENCE_LENGTH, WEIGHTS, Settings, dataset
from rowmill.exceptions import RowmillError
from rowmill.receipts import Receipt, merge_receipts

__all__ = ["Outcome", "run"]

_AVERAGED = 5


@dataclass
class Outcome:
    """What the demo found: the digest of each step, from three sides, and the loss of each.

    Attributes:
        expected: Of an uninterrupted run.
        before: Of the job that was killed.
        after: Of the job that was resumed.
        losses: As trained in the end: steps that were done again count once.
        receipts: What rowmill itself says to have delivered: an uninterrupted run, and the ranks that went on after the
            kill together with what their checkpoint says of the steps before.
    """

    expected: dict[int, str]
    before: dict[int, str]
    after: dict[int, str]
    losses: dict[int, float]
    receipts: tuple[Receipt, Receipt]

    @property
    def is_identical(self) -> bool:
        """Whether the two jobs together were handed what an uninterrupted one is, and their receipt says so."""
        if self.receipts[0] != self.receipts[1]:
            return False
        handed = [*self.before.items(), *self.after.items()]
        return {step for step, _ in handed} == set(self.expected) and all(
            self.expected[step] == digest for step, digest in handed
        )

    @property
    def repeated(self) -> int:
        """Steps that were done again, for the last checkpoint was older than the kill."""
        return len(set(self.before) & set(self.after))

    @property
    def first_loss(self) -> float:
        """Mean loss of the first steps."""
        return self._mean(sorted(self.losses)[:_AVERAGED])

    @property
    def last_loss(self) -> float:
        """Mean loss of the last steps."""
        return self._mean(sorted(self.losses)[-_AVERAGED:])

    @property
    def is_good(self) -> bool:
        """Whether the demo shows what it is to show."""
        return self.is_identical and self.last_loss < self.first_loss

    def as_dict(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return {
            "num_steps": len(self.expected),
            "killed_after_step": max(self.before),
            "resumed_at_step": min(self.after),
            "steps_done_again": self.repeated,
            "first_loss": self.first_loss,
            "last_loss": self.last_loss,
            "stream_digest": stream_digest(self.expected.values()),
            "receipt": self.receipts[0],
            "is_identical": self.is_identical,
        }

    def _mean(self, steps: list[int]) -> float:
        return sum(self.losses[step] for step in steps) / len(steps)


def run(
    teller: Teller, *, num_steps: int = 160, kill_at: int = 93, num_ranks: int = 2, global_batch: int = 24
) -> Outcome:
    """Runs the demo in a temporary folder, which it removes.

    Args:
        teller: Takes what there is to say.
        num_steps: Steps of the whole training.
        kill_at: The step after which the first job, of one rank, is killed.
        num_ranks: Ranks of the job that goes on.
        global_batch: Samples of a step over all ranks.

    Raises:
        RowmillError: torch is missing, or a process of the demo failed.
        ValueError: ``num_ranks`` does not divide ``global_batch``.
    """
    if global_batch % num_ranks:
        raise ValueError(f"{num_ranks} ranks cannot share a global batch of {global_batch} samples evenly")
    if importlib.util.find_spec("torch") is None:
        raise RowmillError("the demo trains a model and needs torch: pip install 'rowmill[torch]'")
    with tempfile.TemporaryDirectory(prefix="rowmill-demo-", ignore_cleanup_errors=True) as folder:
        settings = _prepare(Path(folder), teller, num_steps, global_batch)
        losses: dict[int, float] = {}
        first = replace(settings, folder=str(Path(folder, "first")))
        with teller.phase(f"training: 1 rank x {global_batch} samples", num_steps) as told:
            run_job(first, _follow(losses, told), kill_at=kill_at)
        teller.say(f"[bold red]SIGKILL[/] after step {kill_at}; the newest checkpoint is all that is left")

        second = replace(settings, folder=str(Path(folder, "second")), num_ranks=num_ranks)
        with teller.phase(f"resumed: {num_ranks} ranks x {global_batch // num_ranks} samples", num_steps) as told:
            run_job(second, _follow(losses, told))
        steps, receipt = _uninterrupted(settings)
        return Outcome(
            expected=step_digests(steps),
            before=step_digests(read_steps(Path(first.folder), 1)),
            after=step_digests(read_steps(Path(second.folder), num_ranks)),
            losses=losses,
            receipts=(receipt, merge_receipts(read_receipts(Path(second.folder), num_ranks))),
        )


def _prepare(folder: Path, teller: Teller, num_steps: int, global_batch: int) -> Settings:
    data = str(folder / "data")
    files = write_sources(data)
    for name, file in files.items():
        known = rowmill.open(file, index_dir=data).describe()
        teller.say(
            f"opened {name}: {known['num_rows']:,} documents of the Rust book in {known['num_blocks']} blocks of "
            f"{' and '.join(known['formats'])}, {known['num_bytes'] / 1e3:.0f} kB, "
            f"fingerprint {known['fingerprint'][:12]}"
        )
    settings = Settings(data, str(folder), str(folder / "checkpoint.pt"), num_steps, global_batch)
    shares = " and ".join(f"{weight:.0%} {name}" for name, weight in WEIGHTS.items())
    teller.say(
        f"mixed ({shares}), tokenised, packed into sequences of {SEQUENCE_LENGTH} over {NUM_LANES} lanes; "
        f"{num_steps} steps of {global_batch} samples"
    )
    return settings


def _follow(losses: dict[int, float], told: Any) -> Any:
    def follow(entry: dict[str, Any]) -> None:
        losses[entry["step"]] = entry["loss"]
        told(entry["step"], entry["loss"])

    return follow


def _uninterrupted(settings: Settings) -> tuple[dict[int, list[str]], Receipt]:
    """The samples of each step, read straight through by one process, and its receipt."""
    with dataset(settings).shard(1, 0).with_format("numpy", dtypes="int64").loader() as loader:
        steps = zip(range(settings.num_steps), loader, strict=False)
        return {step: sample_digests(batch) for step, batch in steps}, loader.stats()["receipt"]
