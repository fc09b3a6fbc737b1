"""The threads that make requests: what a thread pool does, at a fraction of its cost for each.

The thread that hands out the work is told of every end at once (``rest``), instead of watching each request.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Task(Generic[T]):
    """Work under way, as a Future is."""

    __slots__ = ("_hands", "_fault", "_finished", "_value")

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._finished = False
        self._value: T | None = None
        self._fault: BaseException | None = None

    def run(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        try:
            self._value = work(*arguments)
        except BaseException as fault:
            self._fault = fault
        self._finished = True

    def done(self) -> bool:
        return self._finished

    def result(self) -> T:
        """Waits for the end. Raises what the work raised."""
        while not self._finished:
            self._hands.rest(0.05)
        if self._fault is not None:
            raise self._fault
        return self._value  # type: ignore[return-value]


Job = tuple[Task[Any], Callable[..., Any], tuple[Any, ...]]


class Hands:
    """At most ``most`` threads, made as they are needed. One thread may hand out work and rest."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._jobs: queue.SimpleQueue[tuple[Task[Any], Callable[..., Any], tuple[Any, ...]] | None] = (
            queue.SimpleQueue()
        )
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._lock = threading.Lock()

    def submit(self, work: Callable[..., T], *arguments: Any) -> Task[T]:
        task: Task[T] = Task(self)
        with self._lock:
            self._under_way += 1
            short = self._under_way > len(self._threads) < self.most
        if short:
            thread = threading.Thread(target=self._work, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((task, work, arguments))
        return task

    def rest(self, seconds: float) -> None:
        """Until something ends or ``tell`` is called, but no longer than that."""
        try:
            self._news.get(timeout=seconds)
            while True:
                self._news.get_nowait()
        except queue.Empty:
            return

    def tell(self, *_: object) -> None:
        self._news.put(None)

    def close(self) -> None:
        """After the work under way."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while job := self._jobs.get():
            task, work, arguments = job
            task.run(work, arguments)
            with self._lock:
                self._under_way -= 1
            self.tell()
