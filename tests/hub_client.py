"""Runs the real clients, which read their environment at import, in a process of their own against a loopback Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hub_server import HubServer


def hub_environment(hub: HubServer, home: Path) -> dict[str, str]:
    """What makes every client talk to this server and keep its files under ``home``."""
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_EXPERIMENTAL_WARNING": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }


OF_THE_USER = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE",
    "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE",
)  # fmt: skip


def clean_environment(environment: dict[str, str]) -> dict[str, str]:
    """The process's own environment without what a user may have set for the Hub, and with this."""
    return {**{name: value for name, value in os.environ.items() if name not in OF_THE_USER}, **environment}


def run_client(hub: HubServer, home: Path, code: str, **environment: str) -> Any:
    """Runs Python code in a process; returns what it stored in ``result``."""
    script = f"import json\nresult = None\n{code}\nprint('RESULT:' + json.dumps(result))\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment({**hub_environment(hub, home), **environment}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"the client failed:\n{done.stdout}\n{done.stderr}")
    line = next(line for line in done.stdout.splitlines()[::-1] if line.startswith("RESULT:"))
    return json.loads(line.removeprefix("RESULT:"))
