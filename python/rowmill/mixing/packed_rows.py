"""Which documents are in samples of a mix of packed sources: of each source by its counts, else by reading it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rowmill import _rust
from rowmill.lanes import Lane, lane_rows
from rowmill.mixing.sequences import EPOCH_SHIFT, packed_positions, packed_sources, required_samples
from rowmill.mixing.source import MixedSource
from rowmill.token_index import find_index, own_lane_samples

if TYPE_CHECKING:
    from rowmill.plan import Plan

__all__ = ["Documents", "mixed_samples", "spans"]

# Of each document in a sample the row id, its first token there, and the one after the last.
Documents = tuple[tuple[int, int, int], ...]

# Epochs of a source that hold no sample of a lane, after which none is going to come.
_EMPTY_EPOCHS = 16


def spans(documents: Sequence[tuple[int, int, int]], first_row: int = 0) -> Documents:
    """The documents of a sample, by where their tokens begin and end; row ids are counted from ``first_row`` on."""
    return tuple((first_row + row_id, start, start + length) for row_id, start, length in documents)


def packed_documents(plan: Plan, first_epoch: int, num_epochs: int | None) -> _rust.PackedDocuments:
    """The documents of a packed stream; of a mix of packed sources each has a stream of its own."""
    source, pack = plan.source, plan.pipeline.pack
    assert pack is not None, "only packed pipelines come here"
    ((table, order, column, eos, mode, *_),) = packed_sources(plan)
    return _rust.PackedDocuments(
        table,
        order,
        counts=find_index(plan),
        token_column=column,
        eos=eos,
        mode=mode,
        seq_len=pack.seq_len,
        first_epoch=first_epoch,
        num_epochs=num_epochs,
        positions=plan.position_range,
        shares=source.shares if isinstance(source, MixedSource) else None,
    )


def mixed_samples(
    plan: Plan, first_epoch: int, lanes: dict[int, Lane], asked: dict[int, tuple[int, int]]
) -> dict[tuple[int, int], Documents]:
    """The documents of the samples asked for of each lane, (first, how many), by lane and number."""
    source = plan.source
    assert isinstance(source, MixedSource), "only mixes come here"
    ends = required_samples(plan, first_epoch)
    wanted: dict[_Stream, dict[_Place, dict[int, tuple[int, int]]]] = {}
    for index, (first, number) in asked.items():
        for sample in range(first, first + number):
            own = _own(plan, source, first_epoch, ends, lanes[index], sample)
            if own is not None:
                stream, place, at = own
                wanted.setdefault(stream, {}).setdefault(place, {})[at] = (index, sample)
    found: dict[tuple[int, int], Documents] = {}
    for stream, places in wanted.items():
        found |= _read(source, stream, places)
    return found


# Index of a source, the first of its epochs, and how many of them are packed as one.
_Stream = tuple[int, int, int | None]

# As in Lane.plain.
_Place = tuple[int, int, int, int, int, tuple[()]]


def _own(
    plan: Plan, source: MixedSource, first_epoch: int, ends: list[int], lane: Lane, sample: int
) -> tuple[_Stream, _Place, int] | None:
    """Of which source a lane's sample is, from where that can be read, and which of its own it is."""
    num_lanes, epoch, element, begun = plan.order.num_lanes, first_epoch, sample, lane.num_samples
    for end in ends:
        length = lane_rows(lane.index, num_lanes, (0, end))[1]
        if element < length:
            break
        element, begun, epoch = element - length, begun - length, epoch + 1
    else:
        if ends:
            return None
    at, own = source.schedule.sample(lane.index, element)
    begin = epoch << EPOCH_SHIFT
    if ends:
        return _of_epoch(source, at, begin, lane.index, own)
    row, taken, given = 0, 0, 0
    if lane.sources:
        (row, taken), given = lane.sources[at], source.schedule.lane_count_before(at, lane.index, begun)
    first, stop = lane_rows(lane.index, num_lanes, packed_positions(plan)[at])
    epochs, row = divmod(row, max(stop - first, 1))
    return (at, begin, None), (lane.index, begin + epochs, row, taken, given, ()), own


def _of_epoch(source: MixedSource, at: int, begin: int, lane: int, own: int) -> tuple[_Stream, _Place, int] | None:
    """The same in a mix that ends, where each of a source's epochs is packed by itself."""
    component = source.components[at].plan
    assert component is not None, "a mix that ends has the data of all its sources"
    for epoch in range(begin, begin + own + _EMPTY_EPOCHS):
        lens = own_lane_samples(component, epoch)
        assert lens is not None, "the end of the mix is known by the counts of all its sources"
        if own < lens[lane]:
            return (at, epoch, 1), (lane, epoch, 0, 0, 0, ()), own
        own -= lens[lane]
    return None


def _read(
    source: MixedSource, stream: _Stream, places: dict[_Place, dict[int, tuple[int, int]]]
) -> dict[tuple[int, int], Documents]:
    # As the source is alone: its table, its order and its counts know its rows by their own ids.
    index, first_epoch, num_epochs = stream
    component, first_row = source.components[index].plan, sum(one.num_rows for one in source.components[:index])
    assert component is not None, "a source without data gives no sample any more"
    wanted = [(place, (min(own), max(own) - min(own) + 1)) for place, own in places.items()]
    made = packed_documents(component, first_epoch, num_epochs).samples(wanted)
    return {
        number: spans(samples[at - min(own)], first_row)
        for own, samples in zip(places.values(), made, strict=True)
        for at, number in own.items()
        if at - min(own) < len(samples)
    }
