"""The example loop: learns, is killed, goes on as if nothing had been, also on other ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import rowmill
from rowmill.train import Settings, train
from rowmill.train.__main__ import app

pytest.importorskip("torch")
COMMAND = [sys.executable, "-m", "rowmill.train"]
FAST = [
    *("--tokenizer", "bytes", "--steps", "24", "--seq-len", "16", "--width", "16", "--log-every", "1", "--json"),
    *("--checkpoint-every", "5"),
]
pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    rowmill.demo.write_shards(folder)
    return folder


def losses(lines: str) -> dict[int, float]:
    entries = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    return {entry["step"]: entry["loss"] for entry in entries}


def run(*arguments: object) -> Any:
    """The command in this process, which has torch already."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def whole(data: Path) -> dict[int, float]:
    told: dict[int, float] = {}
    settings = Settings(str(data), "bytes", num_steps=24, seq_len=16, width=16, batch_size=4)
    assert train(settings, told.__setitem__) == 0
    return told


def test_the_loss_falls(whole: dict[int, float]) -> None:
    assert list(whole) == list(range(1, 25))
    assert sum(list(whole.values())[-4:]) < sum(list(whole.values())[:4])


def test_a_killed_run_goes_on_with_the_same_losses(data: Path, whole: dict[int, float], tmp_path: Path) -> None:
    checkpoint = tmp_path / "made" / "checkpoint.pt"
    given = ["--data", str(data), *FAST, "--batch-size", "4", "--checkpoint", str(checkpoint)]
    with subprocess.Popen([*COMMAND, *given], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if '"step": 13' in line:
                process.kill()
                break
    before = losses(seen)
    done = run(*given)
    assert done.exit_code == 0, done.output
    after = losses(done.stdout)
    assert min(after) in (11, 16, 21)  # behind a checkpoint; the loop may have run on before the kill reached it
    assert before | after == pytest.approx(whole, rel=1e-4)
    again = run(*given)
    assert again.exit_code == 0
    assert "nothing to do" in again.stderr


def test_two_ranks_go_on_where_one_stopped(data: Path, whole: dict[int, float], tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    given = ["--data", str(data), *FAST, "--checkpoint", str(checkpoint)]
    stopped = run(*given, "--batch-size", 4, "--steps", 10)
    assert stopped.exit_code == 0, stopped.output
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    variables = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-m", "rowmill.train", *given, "--batch-size", "2"],
        capture_output=True, text=True, timeout=170, check=False, env=variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    after = losses(done.stdout)
    assert list(after) == list(range(11, 25))
    assert after == pytest.approx({step: loss for step, loss in whole.items() if step > 10}, rel=1e-3)


def test_wrong_use_and_bad_data_are_one_paragraph(data: Path, tmp_path: Path) -> None:
    neither = run("--steps", 3)
    assert neither.exit_code == 2
    assert "give one of --dataset-name and --data" in " ".join(neither.stderr.split())
    (tmp_path / "bad.pt").write_bytes(b"no checkpoint")
    damaged = run("--data", data, *FAST, "--checkpoint", tmp_path / "bad.pt")
    assert damaged.exit_code == 1
    assert damaged.stderr.startswith("error: ")
    assert "bad.pt is no checkpoint" in damaged.stderr
    unknown = run("--dataset-name", "tiny_shakespare")
    assert unknown.exit_code == 1
    assert "did you mean tiny_shakespeare" in unknown.stderr


def test_a_path_with_a_slip_and_a_device_that_is_not_there_are_told_at_once(data: Path, tmp_path: Path) -> None:
    slip = run("--data", tmp_path / "owner" / "name", *FAST)
    assert slip.exit_code == 1
    assert "there is no such file or folder" in slip.stderr
    device = run("--data", data, *FAST, "--device", "mill")
    assert device.exit_code == 2
    assert "--device mill" in " ".join(device.stderr.split())
    assert "Traceback" not in device.stderr
