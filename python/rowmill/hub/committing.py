"""From files to a commit and its tag; and that pushes of this machine to one repository take turns."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rowmill.conversion.progress import Bar
from rowmill.exceptions import StateMismatchError
from rowmill.folders import cache_folder
from rowmill.hub.in_threads import run_all
from rowmill.hub.listing import Listing
from rowmill.hub.records import lock_of
from rowmill.hub.writing import Upload, Writer, missing

__all__ = ["alone", "commit"]

_NUM_UPLOADS = 4
_log = logging.getLogger("rowmill.hub")


@contextmanager
def alone(repo: str) -> Iterator[None]:
    """Waits until no other push to the repository goes on here: they share the shards that are made for them."""
    from filelock import Timeout

    lock = lock_of(cache_folder() / "hub" / "locks", "push", repo)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.warning("another push to %s goes on here; this one begins when it is done", repo)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def commit(
    writer: Writer,
    files: Sequence[Upload],
    gone: Sequence[str],
    there: Listing,
    parent: str,
    message: str,
    tag: str | None,
) -> tuple[str, int]:
    """The commit that has all files, made here unless it is there already, tagged; and how many were not there before.

    Raises:
        StateMismatchError: The tag names another commit, or somebody else has committed meanwhile.
    """
    todo, tags = missing(files, there), writer.tags() if tag is not None else {}
    if tag is not None and tag in tags and (todo or gone or tags[tag] != parent):
        raise StateMismatchError(
            f"{writer.repo} has a tag {tag} already, of commit {tags[tag]}; choose another: whoever pins it means that"
        )
    sha = parent
    if todo or gone:
        _upload(writer, todo)
        sha = writer.commit(todo, gone, parent=parent, branch="main", message=message)
    if tag is not None and tag not in tags:
        writer.tag(tag, sha)
    return sha, len(todo)


def _upload(writer: Writer, todo: Sequence[Upload]) -> None:
    with Bar(f"uploading to {writer.repo}", sum(file.size for file in todo), is_bytes=True) as bar:

        def upload(file: Upload) -> None:
            writer.upload(file, "main")
            bar.add(file.size)

        # What has arrived stays, and is not uploaded again.
        run_all([partial(upload, file) for file in todo], _NUM_UPLOADS)
