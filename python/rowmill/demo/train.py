"""One rank of a training job: ``python -m rowmill.demo.train SETTINGS``, ended by its last step or a kill.

It mixes, tokenises and packs the sources as the settings say, logs the samples of each step, and every few steps
writes a checkpoint: model, optimiser and the whole job's cursor in one file. It begins at the checkpoint where there
is one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import rowmill
from rowmill.demo.model import make_model, next_token_loss
from rowmill.demo.sources import tokenizer_path
from rowmill.demo.stream import log_path, sample_digests

__all__ = ["NUM_LANES", "SEQUENCE_LENGTH", "WEIGHTS", "Settings", "dataset", "main", "train"]

SEQUENCE_LENGTH = 48
WEIGHTS = {"prose": 0.7, "code": 0.3}
# They can be dealt to 1, 2, 3, 4, 6, 8, 12 or 24 ranks.
NUM_LANES = 24
VOCAB_SIZE = 4096


@dataclass(frozen=True)
class Settings:
    """What one rank has to know; travels as JSON."""

    data: str
    folder: str
    checkpoint: str
    num_steps: int
    global_batch: int
    checkpoint_every: int = 10
    seed: int = 42
    rank: int = 0
    num_ranks: int = 1

    def as_json(self) -> str:
        """The settings as one argument of a command line."""
        return json.dumps(asdict(self))


def dataset(settings: Settings) -> rowmill.Dataset:
    """The sources mixed, tokenised and packed; endless, in this rank's batches."""
    sources = {
        name: rowmill.open(os.path.join(settings.data, file), index_dir=settings.data).shuffle(
            settings.seed, num_lanes=NUM_LANES
        )
        for name, file in (("prose", "prose.parquet"), ("code", "code.arrow"))
    }
    mixed = rowmill.mix(sources, WEIGHTS, seed=settings.seed, stopping="repeat")
    packed = mixed.tokenize(tokenizer_path()).pack(SEQUENCE_LENGTH, document_ids=True)
    return packed.batch(settings.global_batch // settings.num_ranks).repeat()


def train(settings: Settings) -> None:
    """Trains from the checkpoint, or from the beginning, to the last step; prints a line of JSON a step."""
    import torch

    torch.set_num_threads(1)
    model, optimiser = make_model(settings.seed, VOCAB_SIZE)
    with _process_group(settings):
        ds = dataset(settings)
        first = _restore(settings.checkpoint, model, optimiser, ds)
        with ds.loader() as loader, log_path(Path(settings.folder), settings.rank).open("w", encoding="utf-8") as log:
            for step, batch in zip(range(first, settings.num_steps), loader, strict=False):
                loss = _update(model, optimiser, batch, settings.num_ranks)
                samples = sample_digests({name: column.numpy() for name, column in batch.items()})
                _print_line(log, {"step": step, "samples": samples})
                if (step + 1) % settings.checkpoint_every == 0:
                    # Each rank knows its own lanes only: all take part in the cursor of the job.
                    cursor = loader.state_dict(gather=True)
                    if settings.rank == 0:
                        _save(settings.checkpoint, model, optimiser, cursor, step + 1)
                _print_line(sys.stdout, {"step": step, "loss": loss})
            _print_line(log, {"receipt": loader.stats()["receipt"]})


def _update(model: Any, optimiser: Any, batch: dict[str, Any], num_ranks: int) -> float:
    """One step on the mean gradient of all ranks; returns the mean loss."""
    import torch
    from torch import distributed

    loss = next_token_loss(model, batch["input_ids"], batch["labels"])
    loss.backward()
    if num_ranks > 1:
        parts = [parameter.grad for parameter in model.parameters()]
        flat = torch.cat([part.flatten() for part in parts] + [loss.detach().reshape(1)])
        distributed.all_reduce(flat)
        flat /= num_ranks
        means = torch.split(flat[:-1], [part.numel() for part in parts])
        for part, mean in zip(parts, means, strict=True):
            part.copy_(mean.view_as(part))
        loss = flat[-1]
    optimiser.step()
    return float(loss)


def _save(path: str, model: Any, optimiser: Any, cursor: dict[str, Any], step: int) -> None:
    """Writes a checkpoint whole or not at all: a kill at any moment leaves the one before."""
    import torch

    made = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "cursor": cursor, "step": step}
    with open(path + ".new", "wb") as file:
        torch.save(made, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def _restore(path: str, model: Any, optimiser: Any, ds: rowmill.Dataset) -> int:
    """Loads the checkpoint, if there is one, and returns the step that comes next."""
    import torch

    if not os.path.exists(path):
        return 0
    saved = torch.load(path, weights_only=True)
    model.load_state_dict(saved["model"])
    optimiser.load_state_dict(saved["optimiser"])
    ds.load_state_dict(saved["cursor"])
    return int(saved["step"])


@contextmanager
def _process_group(settings: Settings) -> Iterator[None]:
    """torch.distributed over gloo where there are several ranks; rowmill finds its rank there."""
    if settings.num_ranks == 1:
        yield
        return
    from torch import distributed

    meeting = Path(settings.folder, "ranks").as_uri()
    distributed.init_process_group(
        "gloo",
        init_method=meeting,
        rank=settings.rank,
        world_size=settings.num_ranks,
        # A rank that never comes must not keep the others for torch's half an hour.
        timeout=timedelta(seconds=60),
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _print_line(file: Any, entry: dict[str, Any]) -> None:
    file.write(json.dumps(entry) + "\n")
    file.flush()


def main() -> None:
    """Runs the rank that the command line describes."""
    train(Settings(**json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
