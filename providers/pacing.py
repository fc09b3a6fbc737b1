"""Rate limits of an account: every window at once, shared by all workers, never passed and used to the full.

A window of 10 a second is kept as a log of the requests that used it: the next may go once fewer than 10 lie within
the last second. This holds for any second, so for a provider that counts by the clock too. Inside the shortest window
requests are spread evenly (generic cell rate algorithm, a tenth of the limit may come at once), so that an urgent
message never waits for a whole window; of the longer ones a fiftieth is kept for urgent messages.

What counts is when a request *arrives*. It may be late, and the one after it may not: a request that took longer than
the fastest so far is moved later in the log by the difference. The clock is the database's: machines' clocks differ.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction

from .models import Pace, ProviderAccount
from .types import Rate

EXACT = 128  # the requests of a window with a higher limit are kept in heaps: those within a hundredth (FINE) of it
FINE = 100
COARSE = 10  # parts of a window instead, while less than a tenth of the limit is used
KNOWN = 20  # answers until the fastest of them tells how fast the network is
MARGIN = 0.002  # seconds by which a place is free later than it seems: clocks and networks are not exact
_CLOCK = {
    "postgresql": "extract(epoch FROM clock_timestamp())::float8",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
}


def sorted_rates(rates: Iterable[Rate]) -> list[Rate]:
    return sorted(set(rates), key=lambda rate: (rate.seconds, rate.limit))


@dataclass(slots=True)
class Used:
    """``n`` requests between ``first`` and ``last`` (Unix seconds)."""

    first: float
    last: float
    n: int


class Log:
    """What was used of some windows lately. ``even``: spread requests evenly over the shortest."""

    def __init__(self, rates: Iterable[Rate], text: str = "", *, even: bool = True) -> None:
        self.rates = sorted_rates(rates)
        self.even = even
        kept = json.loads(text) if text else {}
        self.next_at: float = kept.get("next", 0) / 1_000_000
        self.windows = {rate.seconds: _unpacked(kept.get(str(rate.seconds), ())) for rate in self.rates}
        self.grain = {rate.seconds: rate.seconds / COARSE for rate in self.rates}

    def wait(self, now: float, *, urgent: bool = False) -> float:
        """Seconds until one more request may go; 0: now."""
        if not self.rates:
            return 0.0
        shortest = self.rates[0]
        waits = [
            self._full_for(rate, now, 0 if urgent or rate is shortest else rate.limit // 50) for rate in self.rates
        ]
        if self.even and not urgent:
            waits.append(self.next_at - burst(shortest) * interval(shortest) - now)
        return max(0.0, *waits)

    def add(self, now: float, n: int = 1) -> None:
        for rate in self.rates:
            self._add(rate, now, n)
        if self.rates:
            self.next_at = max(now, self.next_at) + n * interval(self.rates[0])

    def delay(self, at: float, by: float) -> None:
        """One request counted at ``at`` arrived ``by`` seconds later than was thought."""
        for rate in self.rates:
            entries = self.windows[rate.seconds]
            if rate.limit > EXACT and self.grain[rate.seconds] > rate.seconds / FINE:
                continue  # far from the limit
            for entry in reversed(entries):
                if entry.first - 0.001 <= at <= entry.last + 0.001:
                    entry.n -= 1
                    self._add(rate, at + by, 1)
                    break

    def used(self, now: float) -> dict[Rate, int]:
        return {
            rate: sum(e.n for e in self.windows[rate.seconds] if e.last + rate.seconds > now) for rate in self.rates
        }

    def text(self) -> str:
        packed = {str(seconds): _packed(entries) for seconds, entries in self.windows.items()}
        return json.dumps({"next": round(self.next_at * 1_000_000), **packed}, separators=(",", ":"))

    def _add(self, rate: Rate, at: float, n: int) -> None:
        entries = self.windows[rate.seconds]
        place = len(entries)
        while place and entries[place - 1].last > at:
            place -= 1
        before = entries[place - 1] if place else None
        if before and rate.limit > EXACT and at - before.first < self.grain[rate.seconds]:
            before.last, before.n = max(before.last, at), before.n + n
        else:
            entries.insert(place, Used(at, at, n))

    def _full_for(self, rate: Rate, now: float, spare: int) -> float:
        entries = self.windows[rate.seconds]
        while entries and (entries[0].n <= 0 or entries[0].last + rate.seconds + MARGIN <= now):
            entries.pop(0)
        used = sum(e.n for e in entries)
        self.grain[rate.seconds] = rate.seconds / (COARSE if used * 10 < rate.limit else FINE)
        surplus = used - (rate.limit - spare) + 1
        for entry in entries:
            if surplus <= 0:
                return 0.0
            surplus -= entry.n
            if surplus <= 0:
                return entry.last + rate.seconds + MARGIN - now
        return 0.0


def _packed(entries: Sequence[Used]) -> list[int]:
    """Milliseconds: the first moment, then for each entry how much later it begins, how long it is, and its n."""
    found: list[int] = []
    for entry in entries:
        if entry.n > 0:
            first = round(entry.first * 1000)
            if not found:
                found.append(base := first)
            found += [first - base, round((entry.last - entry.first) * 1000), entry.n]
            base = first
    return found


def _unpacked(numbers: Sequence[int]) -> list[Used]:
    entries, moment = [], numbers[0] if numbers else 0
    for place in range(1, len(numbers), 3):
        later, length, n = numbers[place : place + 3]
        moment += later
        entries.append(Used(moment / 1000, (moment + length) / 1000, n))
    return entries


def burst(rate: Rate) -> int:
    """Requests that may come before their time: a tenth of the limit, at least one."""
    return max(1, rate.limit // 10)


def interval(rate: Rate) -> float:
    return rate.seconds / rate.limit


# --- Accounts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grant:
    """``places``: requests that may leave now, counted as such at ``at`` (Unix seconds, the database's clock), which
    is ``tick`` by time.monotonic. ``wait``: seconds until it is worth asking again, where fewer than asked for were
    free."""

    places: int
    wait: float = 0.0
    at: float = 0.0
    tick: float = 0.0


@dataclass(slots=True)
class Memory:
    """What one worker knows beside the row: how much later than thought requests arrived, as their answers tell, for
    the next ``reserve``; and the log that it wrote last, so that it need not be read again."""

    fastest: float = 60.0
    answers: int = 0
    waiting: list[tuple[float, float]] = field(default_factory=list)
    text: str | None = None
    log: Log | None = None

    def log_of(self, rates: Sequence[Rate], text: str) -> Log:
        if self.log is None or self.text != text or self.log.rates != sorted_rates(rates):
            self.log = Log(rates, text)
        return self.log

    def keep(self, log: Log, text: str) -> None:
        self.log, self.text = log, text
        self.waiting.clear()

    def answered(self, at: float, seconds: float) -> None:
        """A request counted at ``at`` was answered ``seconds`` later."""
        self.answers += 1
        self.fastest = min(self.fastest, seconds)
        late = seconds - (self.fastest if self.answers > KNOWN else 0.0)
        if late > MARGIN:
            self.waiting.append((at, min(late, 5.0)))


def now() -> float:
    """Unix seconds by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_CLOCK[connection.vendor]}")
        return float(cursor.fetchone()[0])


def reserve(
    account: ProviderAccount, rates: Sequence[Rate], n: int = 1, *, urgent: bool = False, memory: Memory | None = None
) -> Grant:
    """Take up to ``n`` places for requests that leave at once."""
    with transaction.atomic(savepoint=False):
        text, held_until, clock, sure = _locked(account.pk)
        if held_until > clock:
            return Grant(0, held_until - clock)
        if not rates:
            return Grant(n, at=sure, tick=time.monotonic())
        memory = memory or Memory()
        log, tick = memory.log_of(rates, text), time.monotonic()
        for at, by in memory.waiting:
            log.delay(at, by)
        places, wait = 0, log.wait(clock, urgent=urgent)
        while places < n and wait <= 0:
            log.add(sure)
            places += 1
            wait = log.wait(clock, urgent=urgent) if places < n else 0.0
        if places:
            text = log.text()
            with connection.cursor() as cursor:
                cursor.execute("UPDATE providers_pace SET log = %s WHERE account_id = %s", [text, account.pk])
        memory.keep(log, text)
    return Grant(places, wait, sure, tick)


def hold(account: ProviderAccount, seconds: float) -> None:
    """No request for ``seconds``: a 429, a Retry-After, an X-RateLimit window that is used up."""
    with transaction.atomic():
        _text, held_until, clock, _sure = _locked(account.pk)
        Pace.objects.filter(pk=account.pk).update(held_until=max(held_until, clock + seconds))


def used(account: ProviderAccount, rates: Sequence[Rate]) -> dict[Rate, int]:
    """Requests in the windows that end now."""
    row = Pace.objects.filter(pk=account.pk).first()
    return Log(rates, row.log if row else "").used(now())


def _locked(account_id: int) -> tuple[str, float, float, float]:
    """The account's log and hold, a moment before and one after the lock was had. In a transaction."""
    lock = " FOR UPDATE" if connection.features.has_select_for_update else ""
    asked = time.monotonic()
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT log, held_until, {_CLOCK[connection.vendor]} FROM providers_pace WHERE account_id = %s{lock}",
                [account_id],
            )
            row = cursor.fetchone()
        if row:
            return row[0], row[1], float(row[2]), float(row[2]) + time.monotonic() - asked
        Pace.objects.bulk_create([Pace(account_id=account_id)], ignore_conflicts=True)
    raise RuntimeError("The account's pace could not be made.")
