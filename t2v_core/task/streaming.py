"""Work on many images at once, with few in flight, an honest progress and a prompt end."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from t2v_core.errors import InputError
from t2v_core.task.record import Progress

T = TypeVar("T")

MAX_WORKERS = 8
IN_FLIGHT_PER_WORKER = 4
SECONDS_BETWEEN_REPORTS = 0.05


def stream(
    work: Callable[[int], T], count: int, *, workers: int | None = None, progress: Progress | None = None
) -> Iterator[tuple[int, T | InputError]]:
    """Call ``work`` for ``0..count-1`` in threads.

    Args:
        work: thread-safe.
        count: how many calls.
        workers: threads; by default one a processor, at most ``MAX_WORKERS``.
        progress: called in the caller's thread, at most 20 times a second and once at the end. What
            it raises ends the work after the calls under way.

    Yields:
        Position and result in the order of completion; an ``InputError`` is a result, any other
        exception propagates.
    """
    workers = workers or min(os.cpu_count() or 1, MAX_WORKERS)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    report = _Reporter(count, progress)
    waiting = iter(range(count))
    pending: dict[Future[T | InputError], int] = {}

    def submit_next() -> None:
        position = next(waiting, None)
        if position is not None:
            pending[pool.submit(_attempt, work, position)] = position

    # Pillow warns of every oddity it copes with. Filters are set here, once, as they are not thread-safe.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            for _ in range(IN_FLIGHT_PER_WORKER * workers):
                submit_next()
            done = 0
            while pending:
                finished, _ = wait(pending, timeout=SECONDS_BETWEEN_REPORTS, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield pending.pop(future), future.result()
                    done += 1
                    submit_next()
                report(done)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _attempt(work: Callable[[int], T], position: int) -> T | InputError:
    try:
        return work(position)
    except InputError as error:
        return error


class _Reporter:
    """Passes progress on, not more often than a person can follow."""

    def __init__(self, count: int, progress: Progress | None) -> None:
        self._count = count
        self._progress = progress
        self._start = self._last = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if self._progress and (done == self._count or now - self._last >= SECONDS_BETWEEN_REPORTS):
            self._last = now
            self._progress(done, self._count, f"{done / max(now - self._start, 1e-6):.0f} images/s")
