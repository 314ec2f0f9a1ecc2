"""What `pytest benches` needs: the scale of the corpora, and whether to make the whole tables too."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "python"))

from corpus import Corpus
from tables import Options


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("rowmill benches")
    group.addoption("--scale", type=float, default=0.05, help="size of the corpora; 1 is about a gigabyte each")
    group.addoption("--tables", action="store_true", help="make the tables of `make bench` as well")


@pytest.fixture(scope="session")
def corpus(request: pytest.FixtureRequest) -> Corpus:
    return Corpus(request.config.getoption("--scale"))


@pytest.fixture(scope="session")
def options(request: pytest.FixtureRequest) -> Options:
    wanted = request.config.getoption("--tables")
    return Options(scale=request.config.getoption("--scale"), runs=3 if wanted else 0)
