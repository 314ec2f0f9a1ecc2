"""A server that does not answer keeps nobody: Ctrl-C and the end of a process work while bytes are waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from remote.object_server import Asked, ObjectServer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of a console")

_READS = """
import sys, rowmill, rowmill.remote
rowmill.remote.configure(cache=False, timeout=60)
ds = rowmill.open(sys.argv[2:])
print("open", flush=True)
sys.stdin.readline()
for row in ds.loader(num_threads=int(sys.argv[1])):
    print("a row", flush=True)
"""
_OPENS = """
import sys, rowmill, rowmill.remote
rowmill.remote.configure(cache=False, timeout=60)
print("open", flush=True)
sys.stdin.readline()
rowmill.remote.open_files([rowmill.remote.RemoteFile(url, 1 << 20) for url in sys.argv[2:]], force_reindex=True)
"""


@pytest.mark.parametrize(("code", "num_threads"), [(_READS, 2), (_OPENS, 0)])
def test_an_interrupt_ends_a_wait_for_bytes(server: ObjectServer, code: str, num_threads: int) -> None:
    is_asked, is_over = threading.Event(), threading.Event()

    def hang(_: Asked, __: int) -> None:
        is_asked.set()
        is_over.wait(120)

    command = [sys.executable, "-c", code, str(num_threads), *server.urls()]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as child:
        try:
            assert child.stdout.readline() == "open\n"
            server.fault = hang
            child.stdin.write("go\n")
            child.stdin.flush()
            assert is_asked.wait(60)
            child.send_signal(signal.SIGINT)
            # The server would keep it for two minutes.
            output, errors = child.communicate(timeout=40)
            assert "KeyboardInterrupt" in errors, errors
            assert "a row" not in output
        finally:
            is_over.set()
            child.kill()
