"""What the inbox shows: conversations, unread ones first, and the thread of one. Reads only.

Pages go on from an id and no row is skipped over. What no index helps with is looked for in the newest ``RECENT``
conversations and the newest ``SCAN`` messages.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from contacts.models import Contact
from contacts.search import LOOKS_LIKE_A_NUMBER, begins, prefixes
from devices.models import Sim

from . import attachment_pages, inbox
from .models import Conversation, Message

PAGE = 50
RECENT = 5_000  # conversations in which a name or a text is looked for
SCAN = 100_000  # messages in which a text is looked for
ALL = "all"
TABS: Mapping[str, str | Promise] = {
    "open": _("Open"),
    "mine": _("Mine"),
    "flagged": _("To be looked at"),
    "snoozed": _("Snoozed"),
    "closed": _("Closed"),
    ALL: _("All"),
}
_CURSOR = re.compile(r"([ur])([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Filters:
    """``after``: a place in the order, ``u`` (unread) or ``r`` (read) and the newest message's id; empty: the top."""

    tab: str = "open"
    sought: str = ""
    after: str = ""

    @classmethod
    def from_query(cls, query: QueryDict) -> Filters:
        """Who looks for something looks everywhere, unless a tab is named."""
        sought = " ".join(query.get("q", "").replace("\x00", "").split())[:100]
        tab, after = query.get("tab", ""), query.get("after", "")
        return cls(tab if tab in TABS else ALL if sought else "open", sought, after if _CURSOR.fullmatch(after) else "")

    def query(self, **changes: Any) -> str:
        new = replace(self, after="", **changes) if "after" not in changes else replace(self, **changes)
        usual = ALL if new.sought else "open"
        pairs = {"tab": "" if new.tab == usual else new.tab, "q": new.sought, "after": new.after}
        return urlencode({name: value for name, value in pairs.items() if value})


@dataclass(frozen=True, slots=True)
class Page:
    """Each row has ``unread`` and ``contact`` (None: nobody knows the number). ``older``: the query of the next page.
    ``version`` changes whenever the page would."""

    rows: list[Conversation]
    older: str
    version: str


def page(filters: Filters, user: Any) -> Page:
    kind, last = _cursor(filters.after)
    rows = inbox.with_unread(_rows(filters, user), user).select_related("assigned_to").order_by("-last")
    found: list[Any] = []
    for unread, name in ((1, "u"), (0, "r")):
        if (kind, name) != ("r", "u") and len(found) <= PAGE:
            part = rows.filter(unread=unread, **({"last__lt": last} if kind == name else {}))
            found += part[: PAGE + 1 - len(found)]
    shown = found[:PAGE]
    people = Contact.objects.filter(number__in=[row.number for row in shown]).only("number", "name", "opted_out_at")
    known = {person.number: person for person in people}
    for row in shown:
        row.contact = known.get(row.number)
    older = ""
    if len(found) > PAGE:
        older = filters.query(after=f"{'u' if shown[-1].unread else 'r'}{shown[-1].last}")
    facts = [(r.pk, r.version, r.unread, str(r.contact), r.contact and r.contact.opted_out_at) for r in shown]
    return Page(shown, older, _version(facts))


def _cursor(after: str) -> tuple[str, int]:
    found = _CURSOR.fullmatch(after)
    return (found[1], int(found[2])) if found else ("", 0)


def _rows(filters: Filters, user: Any) -> QuerySet[Conversation]:
    rows = _sought(filters.sought) if filters.sought else Conversation.objects.all()
    if filters.tab == "flagged":
        return rows.exclude(flag="")
    if filters.tab == "snoozed":
        return rows.filter(state=inbox.State.OPEN, snoozed_until__gt=timezone.now())
    if filters.tab == "closed":
        return rows.filter(state=inbox.State.CLOSED)
    if filters.tab == ALL:
        return rows
    return inbox.visible(rows.filter(assigned_to=user) if filters.tab == "mine" else rows)


def _sought(words: str) -> QuerySet[Conversation]:
    """By number; else by a name, or by what was written."""
    if LOOKS_LIKE_A_NUMBER.fullmatch(words):
        return Conversation.objects.filter(begins("number", prefixes(words)))
    recent = Conversation.objects.order_by("-last").values("pk")[:RECENT]
    newest = Message.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    named = Contact.objects.filter(number=OuterRef("number"), name__icontains=words)
    wrote = Message.objects.filter(number=OuterRef("number"), pk__gt=newest - SCAN, text__icontains=words)
    return Conversation.objects.filter(Q(Exists(named)) | Q(Exists(wrote)), pk__in=recent)


# --- A thread ------------------------------------------------------------------------------------------

COLUMNS = (
    "account__name", "account__kind", "campaign_id", "number", "text", "status", "type", "attachments", "device", "sim",
    "error_text", "error_code", "created_at", "due_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thread:
    """Messages of both directions, oldest first. ``earlier`` / ``later``: ids to go on from, None at the ends.

    Each row has ``links``: what is shown of its attachments.
    """

    rows: list[Message]
    earlier: int | None
    later: int | None


def thread(number: str, before: int | None = None, after: int | None = None) -> Thread:
    """The newest messages, those before an id, or those after one."""
    rows = Message.objects.filter(number=number).select_related("account").only(*COLUMNS)
    if after is not None:
        found = list(rows.filter(pk__gt=after).order_by("pk")[: PAGE + 1])
        if len(found) > PAGE:
            return Thread(_with_links(found[:PAGE]), found[0].pk, found[PAGE - 1].pk)
        return thread(number)
    older = rows.filter(pk__lt=before) if before is not None else rows
    found = list(older.order_by("-pk")[: PAGE + 1])
    shown = _with_links(found[:PAGE][::-1])
    later = shown[-1].pk if before is not None and shown else None
    return Thread(shown, shown[0].pk if len(found) > PAGE else None, later)


def _with_links(rows: list[Any]) -> list[Any]:
    for row, links in zip(rows, attachment_pages.shown_together([row.attachments for row in rows]), strict=True):
        row.links = links
    return rows


def thread_version(conversation: Conversation, contact: Contact | None) -> str:
    """Of the newest page, without reading it whole."""
    rows = Message.objects.filter(number=conversation.number).order_by("-pk")
    facts = list(rows.values_list("pk", "status", "error_code", "attachments")[:PAGE])
    seen = attachment_pages.version(links for *_fact, links in facts)
    return _version([conversation.version, contact and contact.opted_out_at, seen, *facts])


def _version(facts: Sequence[Any]) -> str:
    return f"{zlib.crc32(repr(facts).encode()):08x}"


def contact_of(number: str) -> Contact | None:
    return Contact.objects.filter(number=number).first()


def sim_of(conversation: Conversation) -> Sim | None:
    """The one that received their last message, where the inventory has it."""
    if not conversation.device or conversation.sim is None:
        return None
    sims = Sim.objects.filter(device__account_id=conversation.account_id, device__device_id=conversation.device)
    return sims.filter(slot=conversation.sim).select_related("device").first()
