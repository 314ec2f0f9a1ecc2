"""What to do where the folder that is written is full, or closed."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rowmill.exceptions import AccessDeniedError, RowmillError

__all__ = ["explained"]

_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def explained(folder: Path, *, closed: str, full: str) -> Iterator[None]:
    """Lets the system's word on ``folder`` end in a remedy; what rowmill itself says goes through.

    Args:
        folder: What is written.
        closed: What to do where it cannot be written.
        full: What to do where it has no room.

    Raises:
        AccessDeniedError: It cannot be written.
        OSError: It has no room (``errno`` says so), or something else went wrong.
    """
    try:
        yield
    except RowmillError:
        raise
    except OSError as error:
        if error.errno in _CLOSED:
            text = f"{folder} cannot be written ({error.strerror}); {closed}"
            raise AccessDeniedError(text, str(folder)) from error
        if error.errno in _FULL:
            raise OSError(error.errno, f"there is no room left; {full}", str(folder)) from error
        raise
