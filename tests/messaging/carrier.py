"""The other end of every wire, and workers that do one step when they are told to: what proofs of sending are made of.

The carrier speaks each kind's own words (its dialect) and writes down every message that reached it. A worker is a
real Lane; only its threads are taken away, so that a test can stop it, or let another go on, between any two steps.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from messaging import leases, records
from messaging.dispatch import Lane
from messaging.models import Message
from providers import errors, registry
from providers.base import Dialect
from providers.models import ProviderAccount
from providers.transport import HttpTransport
from providers.types import (
    MessageInfo,
    Operation,
    Outcome,
    Problem,
    ReadMessages,
    Reply,
    Request,
    Send,
    SendResult,
    Status,
)


@dataclasses.dataclass(frozen=True)
class Fate:
    """What becomes of a request: which of its messages are taken (``later``: after the worker gave up), and what the
    worker hears. ``sure``: the answer leaves no doubt."""

    name: str
    takes: Callable[[int, int], bool]  # the place of a message in the request, and how many there are
    says: str | errors.ProviderError
    later: bool = False
    sure: bool = True

    def __repr__(self) -> str:
        return self.name


def _all(place: int, n: int) -> bool:
    return True


def _none(place: int, n: int) -> bool:
    return False


def _but_last(place: int, n: int) -> bool:
    return place < n - 1


LOST = errors.Uncertain("No answer came.")
FATES = (
    Fate("taken", _all, "outcomes"),
    Fate("last one refused", _but_last, "outcomes"),
    Fate("taken, no answer", _all, LOST, sure=False),
    Fate("not taken, no answer", _none, LOST, sure=False),
    Fate("partly taken, no answer", _but_last, LOST, sure=False),
    Fate("taken later, no answer", _all, LOST, later=True, sure=False),
    Fate("taken, last one not mentioned", _all, "all but the last", sure=False),
    Fate("taken, nonsense", _all, "nonsense", sure=False),
    Fate("taken, server error", _all, errors.ProviderError("It broke."), sure=False),
    Fate("not taken, server error", _none, errors.ProviderError("It broke."), sure=False),
    Fate("unreachable", _none, errors.Unreachable()),
    Fate("too fast", _none, errors.RateLimited("Slow down.", retry_after=0.0)),
    Fate("out of service", _none, errors.Unavailable("Come back.", retry_after=0.0)),
    Fate("key refused", _none, errors.KeyRefused("Who are you?")),
    Fate("no credits", _none, errors.NoCredits("Nothing is left.")),
    Fate("refused as a whole", _none, errors.Rejected("No.")),
)
TAKEN = FATES[0]


class Carrier:
    """``taken``: how often each message was, by its id here. ``kept``: what the provider lists, by account.

    ``check`` is asked of every message that is taken, with the exchange in which it came.
    """

    def __init__(self, check: Callable[[int, int], None] = lambda message, exchange: None) -> None:
        self.check = check
        self.fate = TAKEN
        self.batch: Any = None
        self.taken: Counter[int] = Counter()
        self.kept: dict[int, list[MessageInfo]] = {}
        self.on_the_way: dict[int, Callable[[], None]] = {}  # by exchange
        self.ids = 0

    def answer(self, transport: HttpTransport, request: Request) -> Reply:
        """Stands where HTTP would be. The account's id is the first part of its base URL's path."""
        account = ProviderAccount.objects.defer("credentials").get(pk=int(transport.base_url.split("/")[3]))
        dialect = registry.dialect(account.kind)
        op = dialect.operation(request)
        if isinstance(op, Send):
            return self._take(account.pk, dialect, op)
        assert isinstance(op, ReadMessages)
        found = [info for info in self.kept.get(account.pk, []) if not op.id or info.id == op.id]
        return _said(dialect, op, tuple(found)) if found or not op.id else dialect.refuse(errors.NotFound())

    def _take(self, account: int, dialect: Dialect, op: Send) -> Reply:
        fate, batch, n = self.fate, self.batch, len(op.messages)
        outcomes = [self._outcome(fate.takes(place, n)) for place in range(n)]
        outcomes = [
            dataclasses.replace(outcome, ref=m.ref, number=m.number)
            for outcome, m in zip(outcomes, op.messages, strict=True)
        ]

        def reaches() -> None:
            for waiting, m, outcome in zip(batch.messages, op.messages, outcomes, strict=True):
                if outcome.taken:
                    self._keep(account, waiting.id, batch.exchange, outcome, m.text)

        if fate.later:
            self.on_the_way[batch.exchange] = reaches
        else:
            reaches()
        return self._say(dialect, op, outcomes)

    def _keep(self, account: int, message: int, exchange: int, outcome: Outcome, text: str) -> None:
        self.check(message, exchange)
        self.taken[message] += 1
        info = MessageInfo(outcome.provider_id, outcome.number, text, Status.SENT, sent_at=datetime.now(UTC))
        self.kept.setdefault(account, []).insert(0, info)

    def _outcome(self, taken: bool) -> Outcome:
        if not taken:
            return Outcome(Status.FAILED, problem=Problem("message_rejected", "No."))
        self.ids += 1
        return Outcome(Status.QUEUED, provider_id=f"{self.ids:03}A")

    def _say(self, dialect: Dialect, op: Send, outcomes: Sequence[Outcome]) -> Reply:
        says = self.fate.says
        if isinstance(says, errors.Uncertain | errors.Unreachable):
            raise says
        if isinstance(says, errors.ProviderError):
            return Reply(500) if type(says) is errors.ProviderError else dialect.refuse(says)
        if says == "nonsense":
            return Reply(200, {}, b"<html>")
        kept = len(outcomes) if says == "outcomes" or len(outcomes) == 1 else len(outcomes) - 1
        said = dataclasses.replace(op, messages=op.messages[:kept])
        return _said(dialect, said, SendResult(tuple(outcomes[:kept])))

    def arrive(self) -> None:
        """What was on its way reaches the carrier now."""
        while self.on_the_way:
            self.on_the_way.popitem()[1]()


def _said(dialect: Dialect, op: Operation, result: Any) -> Reply:
    try:
        return dialect.write(op, result)
    except errors.ProviderError as error:
        return dialect.refuse(error)


# --- Workers -----------------------------------------------------------------------------------------


class Step:
    """A request that leaves when ``run`` is called. To a lane it is a Task."""

    def __init__(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.work, self.arguments, self.value = work, arguments, None

    @property
    def batch(self) -> Any:
        return self.arguments[1]

    def run(self) -> None:
        self.value = self.work(*self.arguments)

    def done(self) -> bool:
        return self.value is not None

    def result(self) -> Any:
        return self.value


class Worker:
    """A worker process with one lane, and all that it would do by itself done by hand."""

    def __init__(self, account: ProviderAccount) -> None:
        """Takes the account over. Raises LeaseLost where somebody has it."""
        self.account, self.holder = ProviderAccount.objects.get(pk=account.pk), uuid.uuid4().hex[:8]
        self.steps: list[Step] = []
        self.writes: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self.lost = False
        if not leases.acquire(account.pk, self.holder):
            raise leases.LeaseLost
        records.sweep(self.account, self.holder)
        hands = _Hands(self.steps)
        self.lane = Lane(self.account, self.holder, hands, _Writer(self.writes))  # type: ignore[arg-type]

    def look(self) -> None:
        """See the account, and read the queue anew; as drain.py does it every few seconds."""
        with self.keeping():
            self.lane.refresh()

    def leave(self) -> None:
        """Mark what may leave."""
        lane = self.lane
        lane.next_try = lane.glanced = lane.looked = 0.0
        lane.door.read_at = -60.0
        with self.keeping():
            lane.fill(time.monotonic())

    def hand_over(self, carrier: Carrier, fate: Fate = TAKEN, place: int = 0) -> None:
        """Let one of the marked requests go, if there is any."""
        if waiting := self.waiting():
            step = waiting[place % len(waiting)]
            carrier.fate, carrier.batch = fate, step.batch
            step.run()

    def waiting(self) -> list[Step]:
        return [step for step in self.steps if not step.done()]

    def settle(self) -> None:
        """Begin to write down what was answered."""
        self.lane.settle()

    def write(self) -> None:
        """End it."""
        while self.writes:
            future, work, arguments = self.writes.pop(0)
            try:
                future.set_result(work(*arguments))
            except Exception as fault:
                future.set_exception(fault)
        self.lane.settle()

    def show(self) -> None:
        with self.keeping():
            self.lane.show(time.monotonic() + 60.0)

    def finish(self, carrier: Carrier) -> None:
        """Everything that was marked leaves and is settled."""
        while self.waiting():
            self.hand_over(carrier)
        while self.lane.under_way():
            self.lane.settle()
            self.write()

    def keeping(self) -> Any:
        return _Keeping(self)

    def stand_still(self, seconds: float = 60.0) -> None:
        """The process is stopped for so long."""
        for step in self.waiting():
            step.batch.tick -= seconds
            step.batch.left -= seconds


class _Keeping:
    """Who lost the lease begins nothing new, as in drain.py."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self.worker.lost = self.worker.lost or kind is leases.LeaseLost
        return kind is leases.LeaseLost


class _Hands:
    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Step:
        self.steps.append(Step(work, arguments))
        return self.steps[-1]

    def tell(self, *_: object) -> None:
        pass


class _Writer:
    def __init__(self, writes: list[Any]) -> None:
        self.writes = writes

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.writes.append((future, work, arguments))
        return future


def statuses() -> dict[int, str]:
    with transaction.atomic():
        return dict(Message.objects.values_list("pk", "status"))
