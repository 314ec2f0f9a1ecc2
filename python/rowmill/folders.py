"""Where rowmill keeps what it can make again; the same folder that the core chooses."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_folder", "index_folder"]


def cache_folder(chosen: str | os.PathLike[str] | None = None) -> Path:
    """``chosen``, else ``$ROWMILL_CACHE``, else rowmill's folder in the user's cache folder.

    Raises:
        FileNotFoundError: The environment names neither.
    """
    if chosen is not None:
        return Path(chosen).expanduser().absolute()
    if own := os.environ.get("ROWMILL_CACHE"):
        return Path(own)
    named = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(named):
        named = os.environ.get("LOCALAPPDATA", "") if sys.platform == "win32" else ""
    if not named:
        home = os.environ.get("HOME", "")
        named = os.path.join(home, ".cache") if home else ""
    if not named:
        raise FileNotFoundError("no cache folder is known; set ROWMILL_CACHE")
    return Path(named) / "rowmill"


def index_folder(index_dir: Path | None) -> Path:
    """Where indexes are looked for."""
    return cache_folder() / "index" if index_dir is None else index_dir
