"""Memory of streaming: windows, bytes on their way, and little beside, however large row groups are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="anonymous memory is told by Linux")

NUM_ROWS, WINDOW, NUM_LANES, AHEAD = 40_000, 4 << 20, 4, 16 << 20

# One row group of some 160 MB, read through windows of 4 MiB. What is there before is Python and its libraries.
CODE = """
import hashlib, json, sys
import rowmill, rowmill.remote
url, index, window, lanes, ahead = json.loads(sys.argv[1])
rowmill.remote.configure(cache=False, ahead_bytes=ahead)
def anonymous():
    with open("/proc/self/smaps_rollup") as told:
        return sum(int(line.split()[1]) << 10 for line in told if line.startswith("Anonymous:"))
ds = rowmill.open(url, index_dir=index).shuffle(1, num_lanes=lanes, window_bytes=window).batch(8)
loader = ds.loader(num_threads=2, prefetch_bytes=1 << 20)
batches = iter(loader)
before, most, rows, digest = anonymous(), 0, 0, hashlib.blake2b()
for step, batch in enumerate(batches):
    rows += len(batch["id"])
    digest.update(repr((batch["id"].tolist(), batch["text"])).encode())
    if step % 50 == 0:
        most = max(most, anonymous())
remote = loader.stats().get("remote", {"fetched_bytes": 0})
told = {"rows": rows, "digest": digest.hexdigest(), "grown": most - before, "fetched": remote["fetched_bytes"]}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("large")
    chance = np.random.default_rng(0)
    texts = [chance.bytes(2000).hex() for _ in range(500)]
    table = pa.table(
        {
            "id": np.arange(NUM_ROWS),
            "text": [texts[at % 500] + str(at) for at in range(NUM_ROWS)],
            "n": [1.5] * NUM_ROWS,
        }
    )
    for name, has_index in (("plain", False), ("indexed", True)):
        pq.write_table(
            table, made / f"{name}.parquet", row_group_size=NUM_ROWS, compression="none", use_dictionary=False,
            write_page_index=has_index,
        )  # fmt: skip
    return made


@pytest.fixture
def origin(folder: Path) -> Iterator[str]:
    """Ranges of the files; unlike the other server it reads no more of them than is asked for."""

    class Ranges(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = folder / self.path.lstrip("/")
            size = path.stat().st_size
            first, last = map(int, re.findall(r"\d+", self.headers["Range"]))
            with path.open("rb") as file:
                file.seek(first)
                body = file.read(last + 1 - first)
            self.send_response(206)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{size}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["plain", "indexed"])
def test_row_groups_larger_than_windows_are_read_in_the_windows_memory(
    origin: str, folder: Path, tmp_path: Path, name: str
) -> None:
    size = (folder / f"{name}.parquet").stat().st_size

    def read(place: str) -> dict[str, Any]:
        asked = json.dumps([place, str(tmp_path), WINDOW, NUM_LANES, AHEAD])
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
        command = [sys.executable, "-c", CODE, asked]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    told = read(f"{origin}/{name}.parquet")
    assert told["rows"] == NUM_ROWS
    assert told["digest"] == read(str(folder / f"{name}.parquet"))["digest"]
    # Blocks without an index are 4 to 16 MiB; a window holds one at least, and each thread decodes one.
    block = (16 << 20) if name == "plain" else (4 << 20)
    # As docs/limits says, with the 64 MiB of blocks that are kept in any case and the allocator's share.
    budget = max(NUM_LANES * max(WINDOW, block), 64 << 20) + AHEAD + 2 * 4 * block + (40 << 20)
    assert told["grown"] < 1.2 * budget, f"{told['grown'] / 1e6:.0f} MB, and {budget / 1e6:.0f} are planned"
    # Neither is a row group fetched anew for each of its blocks.
    assert told["fetched"] < 1.6 * size
