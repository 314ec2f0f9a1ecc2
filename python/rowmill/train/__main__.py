"""``python -m rowmill.train``: trains a small language model on a preset, a repository of the Hub, or local shards."""

from __future__ import annotations

import importlib.util
import json
import os
from typing import Annotated, Any

import typer

from rowmill.cli.output import complain
from rowmill.exceptions import RowmillError
from rowmill.train.loop import Settings, train

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m rowmill.train --dataset-name tiny_shakespeare --checkpoint outputs/tiny.pt")
def main(
    dataset_name: Annotated[
        str | None, typer.Option(help="A preset (`rowmill presets`) or a repository of the Hub.", show_default=False)
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="Local shards with a column of text.", show_default=False)
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help='A name, a path, or "bytes".', show_default="the preset's, or gpt2")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the whole training.")] = 200,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples of each rank a step.")] = 4,
    seq_len: Annotated[int, typer.Option(min=1, help="Tokens of a sample.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the model and of the order.")] = 0,
    split: Annotated[str, typer.Option(help="Which split is read.")] = "train",
    column: Annotated[str | None, typer.Option(help="The column of text.", show_default="found by the schema")] = None,
    width: Annotated[int, typer.Option(min=1, help="Width of the model.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Of gradient descent with momentum.")] = 0.3,
    device: Annotated[str, typer.Option(help="Where the model is: cpu, cuda, mps.")] = "cpu",
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Written every few steps; begun at where it is there.", show_default=False),
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 50,
    log_every: Annotated[int, typer.Option(min=1, help="Steps between lines of output.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
) -> None:
    """Train a small language model, as an example of a loop that resumes exactly.

    Stop it at any moment and give the same command again: it goes on at its checkpoint, with the batches that an
    uninterrupted run would have had. Under torchrun each rank takes its share, and the checkpoint serves any number of
    ranks whose batches are as many samples together.
    """
    if (dataset_name is None) == (data is None):
        raise typer.BadParameter("give one of --dataset-name and --data")
    _check_torch()
    _check_device(device)
    _check_data(data)
    settings = Settings(
        data=str(data if dataset_name is None else dataset_name),
        tokenizer=tokenizer,
        num_steps=steps,
        batch_size=batch_size,
        seq_len=seq_len,
        seed=seed,
        split=split,
        column=column,
        width=width,
        learning_rate=learning_rate,
        device=device,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
    )

    def tell(step: int, loss: float) -> None:
        if step % log_every == 0 or step in (1, steps):
            line: Any = json.dumps({"step": step, "loss": loss}) if as_json else f"step {step:>6,}  loss {loss:.4f}"
            print(line, flush=True)  # noqa: T201 - the output of a command

    try:
        first = train(settings, tell)
    except (RowmillError, OSError, ValueError, ImportError) as error:
        complain(str(error))
        raise typer.Exit(1) from None
    if first >= steps:
        complain(f"{checkpoint} is that of step {first:,}, so there is nothing to do; raise --steps", kind="note")


def _check_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        complain("the example trains a model and needs torch: pip install 'rowmill[torch]'")
        raise typer.Exit(1)


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        # torch has no type of its own for a device that is not there; the rest of its text is a list of backends.
        raise typer.BadParameter(f"--device {device}: {str(error).splitlines()[0]}") from None


def _check_data(data: str | None) -> None:
    """A path with a slip of the pen must not be looked for on the Hub."""
    if data is not None and not os.path.exists(data) and not any(sign in data for sign in "*?["):
        complain(f"--data {data}: there is no such file or folder; data sets of the Hub are given by --dataset-name")
        raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m rowmill.train")
