"""The loop: batches, steps, and checkpoints that hold model, optimiser and cursor, on one rank or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rowmill.demo.model import Momentum
from rowmill.exceptions import CorruptShardError, StateMismatchError
from rowmill.merge import merge_states
from rowmill.placement import find_rank
from rowmill.token_batches import TokenBatches, create_huggingface_dataset
from rowmill.train.model import make_model, next_token_loss

__all__ = ["Settings", "train"]

Tell = Callable[[int, float], None]


@dataclass(frozen=True)
class Settings:
    """What a run is made of; see ``python -m rowmill.train --help``."""

    data: str
    tokenizer: str | None = None
    num_steps: int = 200
    batch_size: int = 4
    seq_len: int = 128
    seed: int = 0
    split: str = "train"
    column: str | None = None
    width: int = 64
    learning_rate: float = 0.3
    device: str = "cpu"
    checkpoint: str | None = None
    checkpoint_every: int = 50


def train(settings: Settings, tell: Tell) -> int:
    """Trains from the checkpoint, or from the beginning, to the last step.

    Args:
        settings: The same on all ranks.
        tell: Takes each step, counted from 1, and its loss over all ranks; called on rank 0 only.

    Returns:
        The step that this run began with; 0 without a checkpoint.

    Raises:
        StateMismatchError: The checkpoint is of another run.
        CorruptShardError: The checkpoint cannot be read.
    """
    with _process_group():
        num_ranks, rank = find_rank(None)
        batches = _batches(settings)
        model = make_model(_vocab_size(batches), settings.width, settings.seed).to(settings.device)
        optimiser = Momentum(list(model.parameters()), settings.learning_rate)
        first = _restore(settings, model, optimiser, batches)
        for step, (inputs, labels) in zip(range(first + 1, settings.num_steps + 1), batches, strict=False):
            inputs, labels = inputs.to(settings.device), labels.to(settings.device)
            loss = _update(model, optimiser, inputs, labels, num_ranks)
            if settings.checkpoint and (step % settings.checkpoint_every == 0 or step == settings.num_steps):
                _save(settings, model, optimiser, _cursors(batches, num_ranks), step, rank)
            if rank == 0:
                tell(step, loss)
        return first


def _batches(settings: Settings) -> TokenBatches:
    return create_huggingface_dataset(
        settings.data,
        num_batches=settings.num_steps,
        batch_size=settings.batch_size,
        seq_len=settings.seq_len,
        tokenizer_name=settings.tokenizer,
        seed=settings.seed,
        split=settings.split,
        column=settings.column,
    )


def _vocab_size(batches: TokenBatches) -> int:
    assert batches.vocab_size is not None, "a tokenizer that is named has a vocabulary"
    return batches.vocab_size


def _update(model: Any, optimiser: Any, inputs: Any, labels: Any, num_ranks: int) -> float:
    """One step on the mean gradient of all ranks; returns the mean loss."""
    from torch import distributed

    loss = next_token_loss(model, inputs, labels)
    loss.backward()
    told = loss.detach()
    if num_ranks > 1:
        for mean in [told, *(parameter.grad for parameter in model.parameters())]:
            distributed.all_reduce(mean)
            mean /= num_ranks
    optimiser.step()
    return float(told)


def _cursors(batches: TokenBatches, num_ranks: int) -> list[dict[str, Any]]:
    """The cursor of each rank; together they resume on any number of ranks."""
    from torch import distributed

    own = batches.state_dict()
    if num_ranks == 1:
        return [own]
    gathered: list[Any] = [None] * num_ranks
    distributed.all_gather_object(gathered, own)
    return gathered


def _save(settings: Settings, model: Any, optimiser: Any, cursors: list[Any], step: int, rank: int) -> None:
    """Writes a checkpoint whole or not at all: a kill at any moment leaves the one before."""
    import torch

    if rank != 0:
        return
    path = Path(settings.checkpoint or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "cursors": cursors, "step": step}
    part = path.with_name(f"{path.name}.new")
    with open(part, "wb") as file:
        torch.save(made, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _restore(settings: Settings, model: Any, optimiser: Any, batches: TokenBatches) -> int:
    """Loads the checkpoint, if there is one, and returns the step that it was taken after."""
    import torch

    path = settings.checkpoint
    if path is None or not os.path.exists(path):
        return 0
    try:
        saved = torch.load(path, weights_only=True, map_location=settings.device)
        cursors, step = saved["cursors"], int(saved["step"])
    except Exception as error:
        # torch has no type of its own for a file that is no checkpoint.
        raise CorruptShardError(f"{path} is no checkpoint of this program, or is damaged: {error}", path) from error
    try:
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
    except (RuntimeError, ValueError) as error:
        raise StateMismatchError(
            f"{path} holds a model of another shape: {error}; give the options that it was made with, or another "
            "--checkpoint",
            path,
        ) from error
    batches.load_state_dict(cursors[0] if len(cursors) == 1 else merge_states(cursors))
    return step


@contextmanager
def _process_group() -> Iterator[None]:
    """torch.distributed over gloo where torchrun has started several ranks."""
    from torch import distributed

    num_ranks, _ = find_rank(None)
    if num_ranks == 1 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()
