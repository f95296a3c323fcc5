"""Several processes at one heap of work: each piece is claimed in the bank, done by one, repeated by none.

A claim is a row that its owner keeps beating. A process that dies, however suddenly, falls silent, and its
claims go to whoever asks next.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from t2v_core.bank.bank import Bank, content_key
from t2v_core.bank.schema import claim as table
from t2v_core.task.record import Progress

BEAT_SECONDS = 3.0
EXPIRY_SECONDS = 30.0
"""A claim silent for this long is free again."""
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Piece:
    """A piece of work that leaves something behind by which it is known to be done.

    Attributes:
        key: the same in every process.
        title: what a person calls it.
        done: whether it is done, by whomever.
        run: does it.
        after: keys of the pieces that must be done first.
    """

    key: str
    title: str
    done: Callable[[], bool]
    run: Callable[[], None]
    after: frozenset[str] = field(default_factory=frozenset)


class Claims:
    """What this process has claimed; a context in which its claims are kept alive."""

    def __init__(self, bank: Bank) -> None:
        self._engine = bank.engine
        self._owner = f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        with self._engine.begin() as connection:
            connection.execute(delete(table).where(table.c.owner == self._owner))

    def take(self, key: str) -> bool:
        """Claim a piece of work; False where another process holds it."""
        key, now = content_key(key), time.time()
        mine = {"key": key, "owner": self._owner, "beat": now}
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(table).where(table.c.key == key, table.c.beat < now - EXPIRY_SECONDS))
                if connection.execute(select(table.c.key).where(table.c.key == key)).first() is not None:
                    return False
                connection.execute(insert(table).values(**mine))
        except IntegrityError:  # another process was quicker
            return False
        return True

    def release(self, key: str) -> None:
        """Give a piece of work back, done or not."""
        with self._engine.begin() as connection:
            connection.execute(delete(table).where(table.c.key == content_key(key), table.c.owner == self._owner))

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            with self._engine.begin() as connection:
                connection.execute(update(table).where(table.c.owner == self._owner).values(beat=time.time()))


def work_through(bank: Bank, pieces: Sequence[Piece], progress: Progress) -> int:
    """Do what is not done, side by side with any other process at the same work; return when all is done.

    Args:
        bank: where claims are kept.
        pieces: the work, in the order it is best done.
        progress: called after every piece, and while waiting for others; what it raises stops the work.

    Returns:
        How many pieces this process did itself.
    """
    pending = {piece.key: piece for piece in pieces}
    own = 0
    with Claims(bank) as claims:
        while pending:
            before = len(pending)
            for piece in list(pending.values()):
                if piece.after & pending.keys():
                    continue
                if not piece.done():
                    if not claims.take(piece.key):
                        continue
                    try:
                        if not piece.done():  # it may have been finished between the look and the claim
                            piece.run()
                            own += 1
                    finally:
                        claims.release(piece.key)
                del pending[piece.key]
                progress(len(pieces) - len(pending), len(pieces), piece.title)
            if len(pending) == before:
                progress(len(pieces) - before, len(pieces), "waiting for another process")
                time.sleep(POLL_SECONDS)
    return own
