"""Work in threads with few things in flight: many images with an honest progress, or the next of a series ahead."""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
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


def ahead(work: Callable[[int], T], count: int, *, workers: int | None = None) -> Iterator[T]:
    """``work(0)``, ``work(1)``, ... in this order, the next ``workers`` of them under way while one is used.

    Args:
        work: thread-safe. What it raises is raised here, in its turn.
        count: how many calls.
        workers: threads; by default one a processor, at most ``MAX_WORKERS``.
    """
    workers = workers or min(os.cpu_count() or 1, MAX_WORKERS)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ahead")
    try:
        pending = deque(pool.submit(work, position) for position in range(min(workers, count)))
        for position in range(workers, workers + count):
            result = pending.popleft().result()
            if position < count:
                pending.append(pool.submit(work, position))
            yield result
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
