"""Paths as they are told to a person."""

from __future__ import annotations

import os

__all__ = ["short_path"]


def short_path(path: str) -> str:
    """The path as one would type it here: from the current folder, where it lies under that; a URL as it is."""
    if "://" in path:
        return path
    try:
        relative = os.path.relpath(path)
    except ValueError:
        # On another drive.
        return path
    return path if relative.startswith("..") else relative
