"""Installs the peers of benches/peers.txt, each environment on its own; a failure is noted, not fatal.

Usage: install_peers.py PYTHON PEERS_FILE, where PYTHON is the bench environment's interpreter.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

# One stubborn resolver must not hold up the rest.
SECONDS_FOR_ONE = 900


def environments(peers_file: Path) -> dict[str, list[str]]:
    """Requirements of each environment, in the file's order."""
    lines = [line.split("#")[0].split() for line in peers_file.read_text(encoding="utf-8").splitlines()]
    return {words[0]: words[1:] for words in lines if words}


def pip_install(python: Path, requirements: list[str]) -> str | None:
    """Installs with one interpreter's pip; returns what went wrong, if anything did."""
    command = [str(python), "-m", "pip", "install", "-q", *requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_FOR_ONE, check=False)
    except subprocess.TimeoutExpired:
        return f"pip found no answer in {SECONDS_FOR_ONE} s"
    return None if done.returncode == 0 else done.stderr.strip()[-400:]


def stacked(main_python: Path, name: str) -> Path:
    """An environment that sees all that the main one holds and may put other versions before it."""
    folder = main_python.parent.parent / "peers" / name
    python = folder / main_python.parent.name / main_python.name
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    main_site, own_site = (
        Path(subprocess.run([str(each), "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
        for each in (main_python, python)
    )
    (own_site / "_main.pth").write_text(f"{main_site}\n", encoding="utf-8")
    return python


def main() -> int:
    """Installs everything and writes peers.json beside the interpreters."""
    python, peers_file = Path(os.path.abspath(sys.argv[1])), Path(sys.argv[2])
    report: dict[str, dict[str, str | None]] = {}
    for name, requirements in environments(peers_file).items():
        started = time.monotonic()
        own = python if name == "main" else stacked(python, name)
        problem = pip_install(own, requirements)
        report[name] = {"python": str(own), "problem": problem}
        print(f"{name}: {problem or 'installed'} ({time.monotonic() - started:.0f} s)", flush=True)
    (python.parent.parent / "peers.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    return 1 if report["main"]["problem"] else 0


if __name__ == "__main__":
    sys.exit(main())
