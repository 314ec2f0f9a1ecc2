"""What every test shares: how hard the property tests look, and an index folder that is nobody's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# `make test PYTEST_ARGS=--hypothesis-profile=slow` looks ten times harder.
# No deadline: a shared machine stalls.
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fast", max_examples=30, **QUIET)
settings.register_profile("slow", max_examples=300, **QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing touches the user's cache, in no child process either; and no job of ours is a rank by accident."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROWMILL_CACHE", str(folder))
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Four uneven shards, one empty, of 70 rows together."""
    from shards import write_shards

    return write_shards(tmp_path / "data")
