"""The lanes of several ranks and workers put back in turn, as if one consumer owned them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rowmill.cursor import Cursor
from rowmill.exceptions import StateMismatchError
from rowmill.receipts import merged_or_none
from rowmill.source_places import flat_sources, sources_of

__all__ = ["merge_lanes", "missing_ranks"]

# What is left out where it is 0 for all lanes.
_OPTIONAL = ("emitted", "epochs", "files")


def merge_lanes(cursors: Sequence[Cursor], is_whole: bool) -> Cursor:
    """One cursor of all ranks; or, unless they must be the whole job, of the one rank whose workers' they are.

    Raises:
        StateMismatchError: A rank's or worker's state is missing, or there twice.
    """
    if any(cursor["lanes"]["of"] == 1 for cursor in cursors):
        return _same_for_all(cursors)
    num_shards = cursors[0]["num_shards"]
    by_rank: dict[int, list[Cursor]] = {}
    for cursor in cursors:
        by_rank.setdefault(cursor["lanes"]["index"] % num_shards, []).append(cursor)
    if len(by_rank) < num_shards and (is_whole or len(by_rank) > 1):
        raise StateMismatchError(
            f"{missing_ranks(by_rank, num_shards)}; after a filter or batched map ranks stand at places of their own: "
            "give the states of all"
        )
    ranks = [_interleave(by_rank[rank], num_shards) for rank in sorted(by_rank)]
    return ranks[0] if len(ranks) == 1 else _interleave(ranks, 1)


def missing_ranks(known: Iterable[int], num_ranks: int) -> str:
    """Which ranks' states are not there, for an error."""
    missing = [str(rank) for rank in sorted(set(range(num_ranks)) - set(known))]
    shown = ", ".join(missing if len(missing) <= 16 else [*missing[:16], "..."])
    is_one = len(missing) == 1
    return f"the state{'' if is_one else 's'} of rank{'' if is_one else 's'} {shown} of {num_ranks} " + (
        "is missing" if is_one else "are missing"
    )


def _same_for_all(cursors: Sequence[Cursor]) -> Cursor:
    """Cursors that stand for the whole job already, as all ranks' do before their first step."""
    for cursor in cursors[1:]:
        if any(cursor.get(name) != cursors[0].get(name) for name in ("lanes", "epoch", "position")):
            raise StateMismatchError(
                "one state stands for the whole job already (a merged one, or one before the first step), and another "
                "one stands elsewhere; save all ranks at one step, and merge them once"
            )
    return dict(cursors[0])


def _interleave(cursors: Sequence[Cursor], into: int) -> Cursor:
    """Puts the lanes of consumers back in turn, so that ``into`` consumers would own what these did."""
    of = cursors[0]["lanes"]["of"]
    by_place = _by_place(cursors, of, into)
    if of == into:
        return cursors[0]
    number = of // into
    num_lanes = sum(len(cursor["lanes"]["rows"]) for cursor in by_place.values())
    epoch = min(cursor["epoch"] for cursor in by_place.values())
    columns: dict[str, list[int]] = {name: [0] * num_lanes for name in ("rows", "samples", *_OPTIONAL)}
    for place, cursor in by_place.items():
        lanes = cursor["lanes"]
        for name, values in columns.items():
            stored = lanes.get(name) or [0] * len(lanes["rows"])
            values[place::number] = [one + cursor["epoch"] - epoch for one in stored] if name == "epochs" else stored
    merged = {
        "of": into,
        "index": cursors[0]["lanes"]["index"] % into,
        "rows": columns["rows"],
        "samples": columns["samples"],
    }
    merged.update({name: columns[name] for name in _OPTIONAL if any(columns[name])})
    sources: list[Sequence[tuple[int, int]]] = [()] * num_lanes
    for place, cursor in by_place.items():
        sources[place::number] = sources_of(cursor["lanes"])
    merged |= flat_sources(sources) if any(sources) else {}
    # Workers of one rank share its steps between them; ranks take the same ones.
    start = cursors[0]["lanes"].get("start", 0)
    places = [cursor["position"] for cursor in by_place.values()]
    position = (
        max(places)
        if into == 1 and "start" not in cursors[0]["lanes"]
        else start + sum(place - start for place in places)
    )
    whole = {**cursors[0], "epoch": epoch, "position": position, "lanes": merged}
    receipt = merged_or_none(cursor.get("receipt") for cursor in by_place.values())
    whole.pop("receipt", None)
    # One that counts from another place than the others says nothing of the whole.
    if receipt is not None:
        whole["receipt"] = receipt
    return whole


def _by_place(cursors: Sequence[Cursor], of: int, into: int) -> dict[int, Cursor]:
    """The cursors by rank, or those of one rank by worker: each once, none missing."""
    num_shards, what = cursors[0]["num_shards"], "rank" if into == 1 else "worker"
    rank = f" of rank {cursors[0]['lanes']['index'] % num_shards}" if into == num_shards and num_shards > 1 else ""
    by_place: dict[int, Cursor] = {}
    for cursor in cursors:
        place = cursor["lanes"]["index"] // into
        if cursor["lanes"]["of"] != of:
            raise StateMismatchError(
                f"the states{rank} are of {of // into} {what}s and of {cursor['lanes']['of'] // into}; they are not of "
                "one save"
            )
        if place in by_place:
            name = f"{what} {place}{rank}" if of > into else f"rank {cursor['lanes']['index'] % num_shards}"
            raise StateMismatchError(f"the state of {name} is there twice; give each one once")
        by_place[place] = cursor
    missing = [place for place in range(of // into) if place not in by_place]
    if missing:
        raise StateMismatchError(
            f"the state of {what} {missing[0]} of {of // into}{rank} is missing; a pipeline with a filter or batched "
            "map has one state a rank and worker: give them all"
        )
    return by_place
