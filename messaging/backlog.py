"""What waits at one account, read ahead: in the order in which it leaves, put together into requests.

Nothing here is decided for good. The messages still wait in the database; whoever marks them checks the account's
epoch, and when anybody took something out of the queue meanwhile, the backlog is void and read anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils import timezone

from providers.base import Adapter
from providers.types import Status

from .ledger import Known
from .models import Message

READ = 2_000  # rows that one look at the queue brings
COLUMNS = (
    "id", "number", "text", "sender", "type", "attachments", "priority", "attempts", "batch_limit", "device", "sim",
    "due_at", "expires_at", "campaign_id", "created_at", "error_code",
)  # fmt: skip


@dataclass(slots=True)
class Waiting:
    """A message of the queue, with what handing it over needs."""

    id: int
    number: str
    text: str
    sender: str
    type: str
    attachments: list[str]
    priority: int
    attempts: int
    batch_limit: int | None
    device: str
    sim: int | None
    due_at: datetime
    expires_at: datetime | None
    campaign_id: int | None
    created_at: datetime
    error_code: str

    def known(self, account_id: int, status: Status) -> Known:
        return Known(status, account_id, self.campaign_id, self.created_at)


class Backlog:
    """``urgent`` and ``bulk``: messages by what a request says once, those that wait longest first."""

    def __init__(self, account_id: int, adapter: Adapter) -> None:
        self.account_id, self.adapter = account_id, adapter
        self.clear()

    def clear(self) -> None:
        self.urgent: dict[tuple[Any, ...], deque[Waiting]] = {}
        self.bulk: dict[tuple[Any, ...], deque[Waiting]] = {}
        self.held: set[int] = set()  # the ids in here
        self.last: tuple[datetime, int] | None = None  # how far the queue was read
        self.ended = False  # nothing was left behind ``last`` when it was looked at

    def __len__(self) -> int:
        return len(self.held)

    def read_urgent(self, leaving: Collection[int]) -> None:
        """See what is urgent. ``leaving``: messages on their way, which look as if they waited."""
        rows = self._rows(priority__gt=0).order_by("priority", "due_at", "id")[: READ + len(leaving)]
        self._put(self.urgent, rows.values_list(*COLUMNS), leaving)

    def read_bulk(self, leaving: Collection[int]) -> None:
        """Go on reading where the last look ended; when it saw the end, begin again: some may have come back."""
        if self.ended:
            self.last, self.ended = None, False
        rows = self._rows(priority=0)
        room = READ
        if self.last is None:
            room += len(leaving) + len(self.held)
        else:
            due_at, pk = self.last
            rows = rows.filter(due_at__gte=due_at).filter(Q(due_at__gt=due_at) | Q(pk__gt=pk))
        found = list(rows.order_by("due_at", "id")[:room].values_list(*COLUMNS))
        self.ended = len(found) < room
        if found:
            self.last = found[-1][COLUMNS.index("due_at")], found[-1][0]
        self._put(self.bulk, found, leaving)

    def take(self, requests: int, messages: int = 0) -> list[list[Waiting]]:
        """The next requests, and more of them while they carry no more than so many messages together.

        Urgent ones alone, if there are any.
        """
        groups = self.urgent if self.urgent else self.bulk
        taken: list[list[Waiting]] = []
        while groups and (len(taken) < requests or sum(map(len, taken)) < messages):
            key, group = next(iter(groups.items()))
            room = min(self.adapter.max_batch, group[0].batch_limit or self.adapter.max_batch)
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

    def _rows(self, **which: Any) -> Any:
        return Message.objects.filter(
            account_id=self.account_id, status=Status.QUEUED, due_at__lte=timezone.now(), **which
        )

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
        return common if self.adapter.mixed_texts else (*common, m.text, m.type, *m.attachments)
