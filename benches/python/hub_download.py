"""Downloading a data set: rowmill and huggingface_hub beside a plain parallel Range download of the same files."""

import os
import statistics
from pathlib import Path
from typing import Any

import report
from loopback import REPO, Bench, served
from options import parse
from tables import Options

TARGET = 0.9
NUM_FILES, FILE_BYTES = 4, 256 << 20
# One connection of a store gives so much; several together are what fills a link.
CONNECTION_BYTES = 25_000_000
# As many pieces at once, of a size that hides 20 ms: what a careful person would write by hand.
PLAIN = f"""
import concurrent.futures, http.client, os, time, urllib.parse
from huggingface_hub import HfApi
api = HfApi()
begun, cpu = time.perf_counter(), os.times()
files = [item for item in api.list_repo_tree({REPO!r}, repo_type="dataset", recursive=True) if hasattr(item, "size")]
host = urllib.parse.urlsplit(os.environ["HF_ENDPOINT"]).netloc
piece, folder = 8 << 20, os.environ["HF_HOME"]
os.makedirs(folder, exist_ok=True)
def fetch(job):
    path, start, stop = job
    connection = http.client.HTTPConnection(host)
    headers = {{"Range": f"bytes={{start}}-{{stop - 1}}"}}
    connection.request("GET", f"/datasets/{REPO}/resolve/main/{{path}}", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 206
    with open(os.path.join(folder, os.path.basename(path)), "rb+") as out:
        out.seek(start)
        while got := answer.read(1 << 20):
            out.write(got)
jobs = []
for file in files:
    with open(os.path.join(folder, os.path.basename(file.path)), "wb") as out:
        out.truncate(file.size)
    jobs += [(file.path, at, min(at + piece, file.size)) for at in range(0, file.size, piece)]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(fetch, jobs))
result = [time.perf_counter() - begun, sum(os.times()[:2]) - sum(cpu[:2])]
"""
CLIENT = """
import os, time
{imports}
begun, cpu = time.perf_counter(), os.times()
{call}
result = [time.perf_counter() - begun, sum(os.times()[:2]) - sum(cpu[:2])]
"""
OURS = "import sys; sys.modules['torch'] = None; import rowmill.hub.downloading; from huggingface_hub import HfApi"
THEIRS = "from huggingface_hub import snapshot_download"
CODES = {
    "plain parallel Range download": PLAIN,
    "rowmill download": CLIENT.format(imports=OURS, call=f"rowmill.hub.downloading.download({REPO!r})"),
    "huggingface_hub snapshot_download": CLIENT.format(
        imports=THEIRS, call=f"snapshot_download({REPO!r}, repo_type='dataset')"
    ),
}


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    size = max(int(FILE_BYTES * min(options.scale, 1)), 1 << 20)
    files = {f"data/train-{at}.bin": os.urandom(size) for at in range(NUM_FILES)}
    results: dict[str, list[list[float]]] = {name: [] for name in CODES}
    with report.console.status("downloading"), served(files) as bench:
        bench.hub.bytes_per_second = CONNECTION_BYTES
        for turn in range(options.runs):
            for at, (name, code) in enumerate(CODES.items()):
                results[name].append(once(bench, code, f"{at}-{turn}", files))
    found = {name: [statistics.median(each) for each in zip(*runs, strict=True)] for name, runs in results.items()}
    total, plain = size * NUM_FILES, found["plain parallel Range download"][0]
    rows = [line(name, seconds, cpu, total, plain) for name, (seconds, cpu) in found.items()]
    title = f"downloading {NUM_FILES} files of {size / 1e6:.0f} MB"
    about = f"20 ms a request, {CONNECTION_BYTES / 1e6:.0f} MB/s a connection; rowmill and the client check as they do"
    report.show(title, ["how", "s", "MB/s", "CPU s", "of the plain one's speed", "target"], rows, note=about)
    content = {"title": title, "options": vars(options), "results": results}
    report.save("hub_download", content)
    return content


def once(bench: Bench, code: str, home: str, files: dict[str, bytes]) -> list[float]:
    """Seconds of one download into an empty home, and of the processor; its bytes are looked at."""
    measured: list[float] = bench.run(code, home)
    for name, content in files.items():
        path = next(path for path in (bench.folder / home).rglob(Path(name).name))
        assert path.stat().st_size == len(content), f"{path} is not whole"
        os.remove(path.resolve())
    return measured


def line(name: str, seconds: float, cpu: float, total: int, plain: float) -> list[str]:
    """One way's numbers."""
    share = plain / seconds
    target = f">= {TARGET:.0%} {'met' if share >= TARGET else 'MISSED'}" if name.startswith("rowmill") else ""
    return [name, f"{seconds:.2f}", f"{total / seconds / 1e6:,.0f}", f"{cpu:.2f}", f"{share:.0%}", target]


if __name__ == "__main__":
    main(parse(__doc__))
