"""A loopback Hub for each test, and homes that are nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_client import OF_THE_USER, hub_environment
from hub_server import HubServer


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """An empty Hub, with an owner and a stranger."""
    with HubServer() as server:
        server.add_user("alice", "hf_of_alice")
        server.add_user("bob", "hf_of_bob", role="read")
        yield server


@pytest.fixture
def home(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HF_HOME; this process and its children talk to the loopback Hub."""
    folder = tmp_path / "home"
    for name in OF_THE_USER:
        monkeypatch.delenv(name, raising=False)
    for name, value in hub_environment(hub, folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ROWMILL_CACHE", str(tmp_path / "rowmill"))
    return folder


@pytest.fixture
def as_alice(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes are those of the owner, to a Hub that knows nothing of Xet."""
    monkeypatch.setenv("HF_TOKEN", "hf_of_alice")
    import huggingface_hub.constants as constants

    # Read when the client is first used; tests before this one may have used it.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
