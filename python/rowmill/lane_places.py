"""The places of a consumer's lanes: how lanes and steps are dealt, and what a cursor says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rowmill.cursor import Cursor, Identity, check_step
from rowmill.exceptions import StateMismatchError, TopologyError
from rowmill.lanes import Lane
from rowmill.left_out import Ranges, still_left_out
from rowmill.placement import Placement
from rowmill.plan import Plan
from rowmill.receipts import Receipt
from rowmill.runs import known_left_out
from rowmill.source_places import flat_sources, sources_of

__all__ = ["Beginning", "Deal", "LanePlaces"]


@dataclass
class LanePlaces:
    """What a cursor of a laned pipeline says; outlives its iterator.

    Attributes:
        start: Positions that the whole job had delivered when this pass began: its steps x ranks x batch size.
        num_steps: Steps of this consumer since then.
        left_out: Positions that nobody takes, from the beginning of the pass on.
        receipt: What was delivered.
        padded_to: Where the lanes here may end before the steps that all ranks take: their number, and the pass's last
            epoch.
        dealt: By which version ranks deal the samples of all lanes, where they do.
    """

    identity: Identity
    placement: Placement
    batch_size: int | None
    first_epoch: int
    lanes: list[Lane]
    start: int
    num_steps: int = 0
    num_skipped: int = 0
    padded_to: tuple[int, int] | None = None
    dealt: int | None = None
    left_out: Ranges = ()
    receipt: Callable[[], Receipt] | None = None

    def cursor(self) -> Cursor:
        """The cursor where the lanes stand."""
        epoch = min(lane.epoch for lane in self.lanes)
        if self.padded_to is not None and self.num_steps < self.padded_to[0]:
            # Lanes that were read to their end still owe the steps that the other ranks take.
            epoch = min(epoch, self.padded_to[1])
        consumers = self.placement.num_shards * self.placement.num_workers
        lanes: dict[str, Any] = {
            "of": consumers,
            "index": self.lanes[0].index % consumers,
            "rows": [lane.row for lane in self.lanes],
            "samples": [lane.num_samples for lane in self.lanes],
        }
        if self.placement.num_workers > 1:
            lanes["start"] = self.start
        if self.dealt is not None:
            lanes["dealt"] = self.dealt
        # Left out where they say nothing, which keeps the usual cursor small.
        if any(lane.emitted for lane in self.lanes):
            lanes["emitted"] = [lane.emitted for lane in self.lanes]
        if any(lane.epoch != epoch for lane in self.lanes):
            lanes["epochs"] = [lane.epoch - epoch for lane in self.lanes]
        if any(lane.file for lane in self.lanes):
            lanes["files"] = [lane.file for lane in self.lanes]
        if any(lane.sources for lane in self.lanes):
            lanes |= flat_sources([lane.sources for lane in self.lanes])
        cursor = {
            **self.identity.as_cursor(),
            "num_shards": self.placement.num_shards,
            "batch_size": self.batch_size,
            "first_epoch": self.first_epoch,
            "epoch": epoch,
            "position": self.start + self.num_steps * self.placement.num_shards * (self.batch_size or 1),
            "lanes": lanes,
        }
        if self.left_out:
            cursor["left_out"] = [list(pair) for pair in self.left_out]
        if self.num_skipped:
            cursor["skipped_rows"] = self.num_skipped
        if self.receipt is not None:
            cursor["receipt"] = self.receipt()
        return cursor


@dataclass(frozen=True)
class Deal:
    """How a job's lanes and steps are dealt to its consumers.

    The workers of a DataLoader are asked in turn from the first one on, wherever the pass begins; so the consumer
    that each one is turns with the steps that came before, and the order of batches goes on as it was.
    """

    num_shards: int
    num_workers: int
    shard: int
    turn: int
    steps_before: int

    @classmethod
    def of(cls, plan: Plan, placement: Placement, steps_before: int) -> Deal:
        """The deal of a pass that begins after so many steps."""
        # Single rows are collated by the loader, whose batches this does not know of.
        shift = steps_before if plan.batch_size is not None else 0
        turn = (placement.worker + shift) % placement.num_workers
        return cls(placement.num_shards, placement.num_workers, placement.index, turn, steps_before)

    @property
    def num_consumers(self) -> int:
        """Ranks x workers."""
        return self.num_shards * self.num_workers

    @property
    def consumer(self) -> int:
        """This one's number: its lanes are those of that remainder."""
        return self.shard + self.num_shards * self.turn

    def on_each_rank(self) -> list[int]:
        """The consumers that take the same steps as this one."""
        return [shard + self.num_shards * self.turn for shard in range(self.num_shards)]

    def share(self, steps: int) -> int:
        """How many of the rank's first ``steps`` steps are this consumer's."""
        return max(-(-(steps - self.turn) // self.num_workers), 0)


@dataclass(frozen=True)
class Beginning:
    """Where a pass of one consumer's lanes begins.

    Attributes:
        start: Positions that the whole job had delivered when its workers began.
        done: Steps of this consumer since then.
        left_out: Positions that nobody takes, from the beginning of the pass on.
        is_over: Whether the lanes were read to their end: the last step may have been a short one.
    """

    first_epoch: int
    deal: Deal
    lanes: list[Lane]
    start: int
    done: int
    is_over: bool
    left_out: Ranges = ()

    @classmethod
    def of(cls, plan: Plan, placement: Placement, cursor: Cursor | None, epoch: int) -> Beginning:
        """The beginning at ``cursor``, or at that of ``epoch``.

        Raises:
            StateMismatchError: The cursor says nothing of one of the lanes.
            TopologyError: No step of this topology starts at the cursor's position.
        """
        first_epoch, position = (cursor["first_epoch"], int(cursor["position"])) if cursor else (epoch, 0)
        stored = cursor.get("lanes") if cursor else None
        # A worker's own state says where all workers began, and how far it is since then.
        start: int = stored.get("start", position) if isinstance(stored, dict) else position
        step = placement.num_shards * (plan.batch_size or 1)
        epochs = plan.epochs_per_pass
        is_over = cursor is not None and epochs is not None and cursor["epoch"] >= first_epoch + epochs
        deal = Deal.of(plan, placement, start // step)
        lanes = [Lane(index, epoch) for index in range(deal.consumer, plan.order.num_lanes, deal.num_consumers)]
        if cursor is not None:
            _place_lanes(lanes, cursor)
            # With "keep" no rank counts on the others' number of steps, so that any place is a beginning.
            if plan.remainder_for(placement.num_shards) != "keep" and not is_over:
                check_step(start, step, None)
        left_out = plan.left_out(step)
        if cursor is not None:
            left_out = still_left_out(known_left_out(cursor), left_out, start)
        _check_turns(left_out, step, start, placement)
        return cls(first_epoch, deal, lanes, start, (position - start) // step, is_over, left_out)

    def own_steps_left_out(self, plan: Plan, placement: Placement) -> Ranges:
        """What of the consumer's own steps is left out, counted from the beginning of the pass."""
        step = placement.num_shards * (plan.batch_size or 1)
        share = self.deal.share
        return tuple((share(first // step), share(end // step)) for first, end in self.left_out if end > self.start)

    def places(self, plan: Plan, placement: Placement) -> LanePlaces:
        """The places of the lanes here, to be moved on."""
        return LanePlaces(
            plan.identity,
            placement,
            plan.batch_size,
            self.first_epoch,
            self.lanes,
            self.start,
            self.done,
            left_out=self.left_out,
        )


def _check_turns(left_out: Ranges, step: int, start: int, placement: Placement) -> None:
    """Raises TopologyError where the workers, who are asked in turn, would not all leave out as many steps."""
    for first, end in left_out:
        if end > start and (end - first) // step % placement.num_workers:
            raise TopologyError(
                f"the steps {first // step} to {end // step} that are left out are no multiple of the "
                f"{placement.num_workers} workers, whose batches would come in another order: a filter, batched map or "
                "packing binds steps to workers. Read with ds.loader(), which needs none, or leave out "
                f"{-(-(end - first) // step // placement.num_workers) * placement.num_workers} steps"
            )


def _place_lanes(lanes: list[Lane], cursor: Cursor) -> None:
    """Puts ``lanes`` where ``cursor`` says."""
    stored = cursor.get("lanes")
    if not isinstance(stored, dict):
        raise StateMismatchError("the cursor holds no lanes: it is not of a pipeline with a filter or batched map")
    of, index = stored["of"], stored["index"]
    places = {
        index + at * of: (row, samples, emitted, cursor["epoch"] + epoch, sources, file)
        for at, (row, samples, emitted, epoch, sources, file) in enumerate(
            zip(
                stored["rows"],
                stored["samples"],
                stored.get("emitted") or [0] * len(stored["rows"]),
                stored.get("epochs") or [0] * len(stored["rows"]),
                sources_of(stored),
                stored.get("files") or [0] * len(stored["rows"]),
                strict=True,
            )
        )
    }
    for lane in lanes:
        if lane.index not in places:
            raise StateMismatchError(
                f"the cursor is that of consumer {index} of {of} and says nothing of lane {lane.index}; pass the "
                "states of all ranks and workers through rowmill.merge_states"
            )
        lane.row, lane.num_samples, lane.emitted, lane.epoch, lane.sources, lane.file = places[lane.index]
