"""Lint, types and tests in one command: ``python -m tests``; ``python -m tests --ci`` runs the slow proofs too."""

from __future__ import annotations

import os
import subprocess
import sys

COMMANDS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))


def main() -> int:
    full = "--ci" in sys.argv[1:] or os.environ.get("CI") == "true"
    failed = [c for c in COMMANDS if subprocess.run([sys.executable, "-m", *c], check=False).returncode]
    chosen = [] if full else ["-m", "not slow"]
    # A worker for each core, with one thread each: twice as fast as one after the other on two cores.
    workers = ["-n", "auto", "--dist", "loadfile"]
    command = [sys.executable, "-m", "pytest", *workers, *chosen]
    tests = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode
    for command in failed:
        sys.stderr.write(f"failed: {' '.join(command)}\n")
    return tests or int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
