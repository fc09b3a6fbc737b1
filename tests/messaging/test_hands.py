from __future__ import annotations

import threading
from contextlib import closing

import pytest

from messaging.hands import Hands


def test_work_is_done_by_at_most_so_many_threads() -> None:
    seen: set[int] = set()
    gate = threading.Barrier(2, timeout=30)

    def work(n: int) -> int:
        seen.add(threading.get_ident())
        gate.wait()
        return n * n

    with closing(Hands(2)) as hands:
        tasks = [hands.submit(work, n) for n in range(6)]
        assert [task.result() for task in tasks] == [0, 1, 4, 9, 16, 25]
    assert len(seen) == 2
    assert threading.get_ident() not in seen


def test_what_the_work_raised_is_raised_by_its_result() -> None:
    with closing(Hands(1)) as hands:
        task = hands.submit(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            task.result()
        assert hands.submit(lambda: 2).result() == 2  # the thread lives on


def test_an_end_wakes_whoever_rests() -> None:
    go = threading.Event()
    with closing(Hands(1)) as hands:
        task = hands.submit(go.wait, 30)
        hands.rest(0.01)
        assert not task.done()
        go.set()
        hands.rest(30)
        assert task.done()


def test_closing_waits_for_the_work() -> None:
    done: list[int] = []
    with closing(Hands(3)) as hands:
        for n in range(5):
            hands.submit(done.append, n)
    assert sorted(done) == [0, 1, 2, 3, 4]
