"""A cache of each test alone."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone."""
    monkeypatch.setenv("ROWMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "converted"
