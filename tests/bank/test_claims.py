"""Work shared by several processes: every piece is done once, and what the dead have claimed comes free."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import select, update

from t2v_core.bank import claims as module
from t2v_core.bank.bank import Bank
from t2v_core.bank.claims import Claims, Piece, work_through
from t2v_core.bank.schema import claim as table


def quiet(*_) -> None:
    pass


def piece(key: str, done: list[str], after: frozenset[str] = frozenset(), seconds: float = 0.0) -> Piece:
    def run() -> None:
        time.sleep(seconds)
        done.append(key)

    return Piece(key, key, lambda: key in done, run, after)


@pytest.fixture
def place(tmp_path):
    Bank(tmp_path / "bank")
    return tmp_path / "bank"


def test_a_claim_excludes_others_until_it_is_released(place):
    with Claims(Bank(place)) as first, Claims(Bank(place)) as second:
        assert first.take("a")
        assert not second.take("a")
        assert not first.take("a")  # not even its owner takes it twice
        assert second.take("b")
        second.release("a")  # not its own
        assert not second.take("a")
        first.release("a")
        assert second.take("a")
    with Bank(place).engine.connect() as connection:
        assert connection.execute(select(table)).all() == []


def test_a_silent_claim_expires_and_a_beating_one_does_not(place, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.05)
    bank = Bank(place)
    with Claims(bank) as alive, Claims(bank) as other:
        assert alive.take("a")
        with bank.engine.begin() as connection:
            connection.execute(update(table).values(beat=0.0))
        time.sleep(0.4)
        assert not other.take("a")
    dead = Claims(bank)  # never entered: nothing beats for it
    assert dead.take("a")
    with Claims(bank) as other:
        assert not other.take("a")
        with bank.engine.begin() as connection:
            connection.execute(update(table).values(beat=time.time() - module.EXPIRY_SECONDS - 1))
        assert other.take("a")


def test_pieces_are_done_once_and_in_order(place, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    done: list[str] = []
    first = [piece(f"f{n}", done, seconds=0.01) for n in range(12)]
    last = piece("last", done, frozenset(p.key for p in first))
    own: list[int] = []
    threads = [
        threading.Thread(target=lambda: own.append(work_through(Bank(place), [last, *first], quiet))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted([*(p.key for p in first), "last"])
    assert done[-1] == "last"
    assert sum(own) == 13
    assert max(own) < 13


def test_what_is_raised_frees_the_claim(place):
    def fail() -> None:
        raise RuntimeError("the disk is on fire")

    with pytest.raises(RuntimeError):
        work_through(Bank(place), [Piece("a", "a", lambda: False, fail)], quiet)
    with Claims(Bank(place)) as claims:
        assert claims.take("a")
