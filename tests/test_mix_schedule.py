"""The schedule of a mix, as the built module gives it."""

import pytest

from rowmill._rust import Schedule


def constant(weights: list[float], seed: int = 7, num_lanes: int = 64) -> Schedule:
    return Schedule([(0, [(0, weights, False)])], num_lanes=num_lanes, seed=seed)


def test_counts_are_exact_and_have_an_inverse() -> None:
    schedule = constant([0.8, 0.2])
    assert schedule.counts(1_000_000) == [800_000, 200_000]
    sources = schedule.sources(0, 500)
    seen = [0, 0]
    for position, source in enumerate(sources):
        assert schedule.counts(position) == seen
        assert abs(seen[1] - 0.2 * position) < 1
        assert schedule.position_of(source, seen[source]) == position
        lane, element = position % 64, position // 64
        assert schedule.sample(lane, element) == (source, schedule.lane_count_before(source, lane, element))
        seen[source] += 1


def test_a_history_makes_the_same_schedule_again() -> None:
    schedule = constant([0.8, 0.2]).remix(1_000, [(0, [0.5, 0.25, 0.25], True), (5_000, [0.0, 0.5, 0.5], False)])
    again = Schedule(schedule.history, num_lanes=schedule.num_lanes, seed=schedule.seed)
    assert again.fingerprint == schedule.fingerprint != constant([0.8, 0.2]).fingerprint
    assert again.sources(0, 8_000) == schedule.sources(0, 8_000)
    assert schedule.shares[0] == (0, 5, [4, 1])


def test_a_mix_ends_where_its_rule_says() -> None:
    schedule = constant([0.5, 0.5], num_lanes=1)
    assert schedule.end([10, 1_000], "first_exhausted") in (20, 21)
    assert schedule.end([10, 1_000], "all_exhausted") in (1_999, 2_000)
    assert schedule.end([10, 1_000], "repeat") is None


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        constant([float("nan"), 1.0])
    with pytest.raises(ValueError, match="no lane 64"):
        constant([1.0, 1.0]).lane_count_before(0, 64, 0)
    with pytest.raises(ValueError, match="weight 0"):
        constant([1.0, 1.0]).remix(5, [(0, [1.0], False)])
