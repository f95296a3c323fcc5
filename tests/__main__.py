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
    tests = subprocess.run([sys.executable, "-m", "pytest", *chosen], check=False).returncode
    for command in failed:
        sys.stderr.write(f"failed: {' '.join(command)}\n")
    return tests or int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
