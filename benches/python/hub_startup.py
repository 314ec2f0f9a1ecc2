"""Starting a job on a data set of the Hub: requests of 64 workers, also without footers, and the warm time."""

import io
import statistics
from typing import Any

import report
from loopback import REPO, Bench, served
from options import parse
from tables import Options

NUM_FILES = 500
# Each worker of datasets asks for everything again: 64 of them take minutes, and four say as much.
NUM_WORKERS = {"rowmill, lanes over files": 64, "rowmill, streamed": 64, "rowmill, downloaded": 64, "datasets": 4}
WARM_REQUESTS = 12
WARM_SECONDS = 0.05
OURS = "import sys; sys.modules['torch'] = None; import rowmill, rowmill.hub.load"
LOADED = f"len(rowmill.load_dataset({REPO!r}))"
IMPORTS = dict.fromkeys(NUM_WORKERS, OURS) | {"datasets": "import datasets, huggingface_hub"}
LOADS = {
    "rowmill, lanes over files": f"rowmill.load_dataset({REPO!r}, streaming=True, lanes_over='files').shuffle(1)",
    "rowmill, streamed": f"len(rowmill.load_dataset({REPO!r}, streaming=True))",
    "rowmill, downloaded": LOADED,
    "datasets": f"sum(1 for _ in datasets.load_dataset({REPO!r}, split='train', streaming=True).take(1))",
}
# Forked behind the imports, as workers are: what is measured is what they ask, not what they import.
WORKERS = """
{imports}
import os
children = []
for _ in range({number}):
    child = os.fork()
    if child == 0:
        try:
            {load}
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(child)
result = sum(os.waitpid(child, 0)[1] != 0 for child in children)
"""
TIMED = """
{imports}
import time
begun = time.perf_counter()
{load}
result = time.perf_counter() - begun
"""


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    number = max(int(NUM_FILES * min(options.scale, 1)), 20)
    files = {f"data/train-{at:05}-of-{number:05}.parquet": parquet(at) for at in range(number)}
    with report.console.status("starting on a data set of the Hub"), served(files) as bench:
        requests = {who: counted(bench, who) for who in LOADS}
        times = warm_times(bench, max(options.runs, 3))
    cold_target = number / 1000 + WARM_REQUESTS
    rows = [line(who, found, cold_target) for who, found in requests.items()]
    title = f"requests of workers that open {number} files together"
    columns = ["loader", "workers", "cold: of lists", "cold: of files", "warm: all", "failed", "target"]
    report.show(title, columns, rows, note="20 ms a request; of files: whole ones, or footers; datasets streams a row")
    rows = [
        [name, f"{1000 * seconds:.1f}", str(asked), f"< {1000 * WARM_SECONDS:g} ms, 0 requests " + verdict(met)]
        for name, (seconds, asked) in times.items()
        for met in [seconds < WARM_SECONDS and asked == 0]
    ]
    report.show("a warm load_dataset, behind the imports", ["how", "ms", "requests", "target"], rows)
    content = {"title": title, "options": vars(options), "requests": requests, "warm": times}
    report.save("hub_startup", content)
    return content


def parquet(at: int) -> bytes:
    """A small file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table({"id": [at], "text": [f"row {at}"]}), sink)
    return sink.getvalue()


def counted(bench: Bench, who: str) -> dict[str, int]:
    """Requests of a cold start of all workers together, and of a warm one."""
    code = WORKERS.format(imports=IMPORTS[who], load=LOADS[who], number=NUM_WORKERS[who])
    found = {}
    for state in ("cold", "warm"):
        bench.hub.forget()
        found[f"{state}_failed"] = bench.run(code, who)
        found[f"{state}_files"] = bench.hub.count(path=r"/resolve/.*\.parquet")
        found[f"{state}_lists"] = bench.hub.count() - found[f"{state}_files"]
    return found


def line(who: str, found: dict[str, int], cold_target: float) -> list[str]:
    """One loader's counts."""
    warm = found["warm_lists"] + found["warm_files"]
    counts = [found["cold_lists"], found["cold_files"], warm, found["cold_failed"] + found["warm_failed"]]
    # Without footers only where none is read before the first step.
    cold = found["cold_lists"] + (found["cold_files"] if "over files" in who else 0)
    met = cold <= cold_target and warm <= WARM_REQUESTS
    target = f"<= {cold_target:g} and {WARM_REQUESTS} {verdict(met)}" if who.startswith("rowmill") else ""
    return [who, str(NUM_WORKERS[who]), *(f"{count:,}" for count in counts), target]


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def warm_times(bench: Bench, runs: int) -> dict[str, tuple[float, int]]:
    """The median seconds and the requests of a warm start, without a network and at a pinned commit."""
    ways = {
        "offline": (LOADED, {"HF_HUB_OFFLINE": "1"}),
        "online, pinned to a sha": (f"len(rowmill.load_dataset({REPO!r}, revision={bench.sha!r}))", {}),
    }
    found = {}
    for name, (load, environment) in ways.items():
        code = TIMED.format(imports=OURS, load=load)
        bench.hub.forget()
        seconds = [bench.run(code, "rowmill, downloaded", **environment) for _ in range(runs)]
        found[name] = statistics.median(seconds), bench.hub.count()
    return found


if __name__ == "__main__":
    main(parse(__doc__))
