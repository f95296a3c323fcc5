"""What commands write: tables and facts on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from t2v_core.errors import printable

SECONDS_BETWEEN_LINES = 1.0


def say(line: str) -> None:
    """One line on standard error."""
    print(printable(line), file=sys.stderr, flush=True)


def tell(line: str) -> None:
    """One line on standard output."""
    print(printable(line))


def show_rows(result: dict[str, Any]) -> None:
    """``result["rows"]`` as a table."""
    rows = result["rows"]
    if not rows:
        print("nothing here yet")
        return
    widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
    for row in [{key: key for key in widths}, *rows]:
        tell("  ".join(f"{row[key]!s:<{width}}" for key, width in widths.items()).rstrip())


def show_facts(result: dict[str, Any]) -> None:
    """One ``key: value`` a line."""
    for key, value in result.items():
        tell(f"{key}: {value if isinstance(value, (str, int, float)) else json.dumps(value, ensure_ascii=False)}")


class Reporter:
    """Progress on standard error: one line a stage and second, overwritten on a terminal."""

    def __init__(self) -> None:
        self._stage, self._last = "", 0.0

    def __call__(self, stage: str, done: int, total: int, message: str) -> None:
        now = time.monotonic()
        if stage == self._stage and done < total and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._stage, self._last = stage, now
        say(f"{stage}: {done}/{total} {message}".rstrip() if total else stage)
