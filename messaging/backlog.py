"""What waits at one account, read ahead: in the order in which it leaves, put together into requests.

Nothing here is decided for good. The messages still wait in the database; whoever marks them checks the account's
epoch, and when anybody took something out of the queue meanwhile, the backlog is void and read anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

from providers.base import Adapter
from providers.types import Status

from .ledger import Known

READ = 2_000  # rows that one look at the queue brings
COMMON = "id, number, text, sender, type, priority, attempts, batch_limit, device, sim, campaign_id"
COLUMNS = {
    "postgresql": f"{COMMON}, due_at::text, attachments::text, extract(epoch FROM expires_at)::float8, "
    "floor(extract(epoch FROM created_at) / 3600)::int",
    "sqlite": f"{COMMON}, due_at, attachments, (julianday(expires_at) - 2440587.5) * 86400.0, "
    "CAST(strftime('%%s', created_at) AS integer) / 3600",
}
DUE_AT = len(COMMON.split(", "))
BEHIND = {"postgresql": "(due_at, id) > (%s::timestamptz, %s)", "sqlite": "(due_at, id) > (%s, %s)"}


@dataclass(slots=True)
class Waiting:
    """A message of the queue, with what handing it over needs.

    ``due_at`` as the database writes it; ``attachments``: JSON; ``expires``: Unix seconds; ``hour``: see ledger.py.
    """

    id: int
    number: str
    text: str
    sender: str
    type: str
    priority: int
    attempts: int
    batch_limit: int | None
    device: str
    sim: int | None
    campaign_id: int | None
    due_at: str
    attachments: str
    expires: float | None
    hour: int

    def known(self, account_id: int, status: Status) -> Known:
        return Known(status, account_id, self.campaign_id, self.hour)


class Backlog:
    """``urgent`` and ``bulk``: messages by what a request says once, those that wait longest first."""

    def __init__(self, account_id: int, adapter: Adapter) -> None:
        self.account_id, self.adapter = account_id, adapter
        self.clear()

    def clear(self) -> None:
        self.urgent: dict[tuple[Any, ...], deque[Waiting]] = {}
        self.bulk: dict[tuple[Any, ...], deque[Waiting]] = {}
        self.held: set[int] = set()  # the ids in here
        self.last: tuple[str, int] | None = None  # how far the queue was read
        self.ended = False  # nothing was left behind ``last`` when it was looked at

    def __len__(self) -> int:
        return len(self.held)

    def read_urgent(self, leaving: Collection[int]) -> None:
        """See what is urgent. ``leaving``: messages on their way, which look as if they waited."""
        self._put(self.urgent, self._rows("priority > 0", [], "priority, due_at, id", READ + len(leaving)), leaving)

    def read_bulk(self, leaving: Collection[int]) -> None:
        """Go on reading where the last look ended; when it saw the end, begin again: some may have come back."""
        if self.ended:
            self.last, self.ended = None, False
        room = READ
        if self.last is None:
            room += len(leaving) + len(self.held)
            found = self._rows("priority = 0", [], "due_at, id", room)
        else:
            found = self._rows(f"priority = 0 AND {BEHIND[connection.vendor]}", [*self.last], "due_at, id", room)
        self.ended = len(found) < room
        if found:
            self.last = found[-1][DUE_AT], found[-1][0]
        self._put(self.bulk, found, leaving)

    def take(self, requests: int, messages: int = 0, largest: int | None = None) -> list[list[Waiting]]:
        """The next requests, and more of them while they carry no more than so many messages together.

        Urgent ones alone, if there are any. ``largest``: messages in one request, where that is fewer than usual.
        """
        largest = min(largest or self.adapter.max_batch, self.adapter.max_batch)
        groups = self.urgent if self.urgent else self.bulk
        taken: list[list[Waiting]] = []
        while groups and (len(taken) < requests or sum(map(len, taken)) < messages):
            key, group = next(iter(groups.items()))
            room = min(largest, group[0].batch_limit or largest)
            taken.append([group.popleft() for _ in range(min(room, len(group)))])
            if not group:
                del groups[key]
        self.held.difference_update(m.id for request in taken for m in request)
        return taken

    def put_back(self, requests: Sequence[list[Waiting]]) -> None:
        """They could not leave now; they are the next again."""
        for request in reversed(requests):
            for message in reversed(request):
                groups = self.urgent if message.priority else self.bulk
                key = self._key(message)
                if key in groups:
                    groups[key].appendleft(message)
                else:
                    others = list(groups.items())
                    groups.clear()
                    groups.update([(key, deque([message])), *others])
                self.held.add(message.id)

    def _rows(self, which: str, values: list[Any], order: str, most: int) -> list[tuple[Any, ...]]:
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {COLUMNS[connection.vendor]} FROM messaging_message WHERE account_id = %s "
                f"AND status = 'queued' AND due_at <= %s AND {which} ORDER BY {order} LIMIT %s",
                [self.account_id, now, *values, most],
            )
            return list(cursor.fetchall())

    def _put(
        self, groups: dict[tuple[Any, ...], deque[Waiting]], rows: Iterable[Any], leaving: Collection[int]
    ) -> None:
        for row in rows:
            if row[0] not in self.held and row[0] not in leaving:
                message = Waiting(*row)
                groups.setdefault(self._key(message), deque()).append(message)
                self.held.add(message.id)

    def _key(self, m: Waiting) -> tuple[Any, ...]:
        """Messages with the same key can share a request: everything that the wire says once per request."""
        common = (m.sender, m.priority, m.batch_limit, m.device, m.sim)
        return common if self.adapter.mixed_texts else (*common, m.text, m.type, m.attachments)
