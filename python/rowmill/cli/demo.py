"""``rowmill demo``: two sources mixed and packed, a training, a kill, a resume on other ranks, the same stream."""

from __future__ import annotations

from typing import Annotated

import typer

from rowmill.cli.output import AsJson, print_json


def demo(
    steps: Annotated[int, typer.Option(min=20, help="Steps of the whole training.")] = 160,
    kill_at: Annotated[int | None, typer.Option(min=10, help="Step of the kill.", show_default="at 58 %")] = None,
    ranks: Annotated[int, typer.Option(min=1, max=16, help="Ranks of the job that goes on.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Train a tiny model, kill it, resume it on other ranks: the same stream.

    Works in a temporary folder, on a sample of text that ships with rowmill, without a network. Exit status 1 where
    the resumed stream is not that of an uninterrupted run.
    """
    from rowmill.demo.run import run
    from rowmill.demo.teller import Teller

    kill_at = steps * 58 // 100 if kill_at is None else kill_at
    if kill_at >= steps - 1:
        raise ValueError(f"--kill-at {kill_at} is no step before the last of {steps}")
    teller = Teller(is_quiet=as_json)
    outcome = run(teller, num_steps=steps, kill_at=kill_at, num_ranks=ranks)
    facts = outcome.as_dict()
    if as_json:
        print_json(facts)
    teller.say(f"loss: {outcome.first_loss:.3f} at first, {outcome.last_loss:.3f} at last")
    teller.say(
        f"resumed at step {facts['resumed_at_step']}; {outcome.repeated} steps of the killed job were done again"
    )
    if outcome.is_identical:
        teller.say(
            f"[bold green]identical[/]: all {facts['num_steps']} global steps are those of an uninterrupted run "
            f"(digest {facts['stream_digest']}), and so is the receipt: {facts['receipt']['samples']:,} samples, "
            f"{facts['receipt']['tokens']:,} tokens, {facts['receipt']['digest'][:16]}"
        )
    else:
        teller.say("[bold red]DIFFERENT[/]: the stream is not that of an uninterrupted run")
    raise typer.Exit(0 if outcome.is_good else 1)
