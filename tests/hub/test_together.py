"""Rank 0 asks; what it found is handed to ranks of machines that share no disk with it."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import clean_environment, hub_environment
from hub_server import HubServer

pytest.importorskip("huggingface_hub")
pytest.importorskip("torch")
pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

RANK = """
import json, os, sys
from torch import distributed
import rowmill
distributed.init_process_group("gloo")
try:
    ds = rowmill.hub.load_together("alice/demo", "en", **json.loads(sys.argv[1]))
    rows = [row["id"] for row in ds.shuffle(3).shard(1, 0)]
    told = [rows, ds.fingerprint, ds.state_dict()["revision"]]
except rowmill.RowmillError as error:
    told = [type(error).__name__, str(error)]
print(json.dumps(told))
distributed.destroy_process_group()
"""
README = "---\nconfigs:\n- {config_name: en, data_files: en/*}\n- {config_name: fr, data_files: fr/*}\n---\n"


def parquet(start: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(start, start + 20))}), sink)
    return sink.getvalue()


def job(hub: HubServer, tmp_path: Path, **how: Any) -> list[Any]:
    """What each rank says; each has a home, a cache and a token of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = []
    for rank in range(3):
        home = tmp_path / f"machine-{rank}"
        own = {"ROWMILL_CACHE": str(home / "rowmill"), "HF_TOKEN": f"hf_of_rank_{rank}", "OMP_NUM_THREADS": "1"}
        group = {"RANK": str(rank), "WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        environment = clean_environment({**hub_environment(hub, home / "hf"), **own, **group})
        command = [sys.executable, "-c", RANK, json.dumps(how)]
        ranks.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    told = [rank.communicate(timeout=200)[0] for rank in ranks]
    return [json.loads(lines.splitlines()[-1]) for lines in told]


@pytest.fixture
def crowd(hub: HubServer) -> HubServer:
    for rank in range(3):
        hub.add_user(f"rank-{rank}", f"hf_of_rank_{rank}")
    files = {f"en/{at}.parquet": parquet(at * 20) for at in range(4)}
    hub.create_repo("alice/demo", {**files, "fr/x.parquet": parquet(0), "README.md": README})
    return hub


def asked_by(hub: HubServer, rank: int) -> list[str]:
    """What a rank asked for, but for the files of data."""
    return [
        request.path
        for request in hub.requests()
        if request.token == f"hf_of_rank_{rank}" and not request.path.endswith(".parquet")
    ]


def test_only_rank_0_asks_what_there_is(crowd: HubServer, tmp_path: Path) -> None:
    told = job(crowd, tmp_path)
    assert told[0] == told[1] == told[2]
    assert sorted(told[0][0]) == list(range(80))
    assert told[0][2] == f"alice/demo@{crowd.repos['dataset', 'alice/demo'].sha}"
    assert asked_by(crowd, 0)
    assert asked_by(crowd, 1) == asked_by(crowd, 2) == []


def test_what_fails_on_rank_0_fails_on_all_and_nobody_waits(crowd: HubServer, tmp_path: Path) -> None:
    told = job(crowd, tmp_path, revision="v9")
    assert [kind for kind, _ in told] == ["RevisionNotFoundError"] * 3
    assert told[1][1].startswith("on rank 0: ")
    assert asked_by(crowd, 1) == []
