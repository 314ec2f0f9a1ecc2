"""The progress bar: for what takes over a second, on a terminal, and nowhere else."""

import os
import subprocess
import sys

import pytest

from rowmill.cli.progress import progress_bar

_CODE = """
import sys
from rowmill.cli import progress
progress._PATIENCE = float(sys.argv[1])
with progress.progress_bar("milling") as report:
    for done in range(11):
        report(done, 10)
print("done")
"""


def on_a_terminal(patience: float) -> str:
    pty = pytest.importorskip("pty")
    outer, inner = pty.openpty()
    command = [sys.executable, "-c", _CODE, str(patience)]
    try:
        done = subprocess.run(command, stderr=inner, stdout=subprocess.PIPE, check=True, text=True, timeout=60)
        os.close(inner)
        assert done.stdout == "done\n"
        return _drain(outer)
    finally:
        os.close(outer)


def _drain(descriptor: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(descriptor, 1 << 16)
        except OSError:  # Linux says so where the other end is closed
            part = b""
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals of POSIX")
def test_what_takes_long_has_a_bar_on_a_terminal() -> None:
    told = on_a_terminal(0)
    assert "milling" in told
    assert "100%" in told
    assert on_a_terminal(1000) == ""


def test_elsewhere_nothing_is_drawn(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowmill.cli.progress._PATIENCE", 0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar("milling") as report:
        report(1, 2)
        report(2, 2)
    assert capfd.readouterr() == ("", "")
