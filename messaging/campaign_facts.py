"""What the page of one campaign says: the parts that its recipients fall into, and why some got nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from contacts.recipients import DUPLICATE, OPTED_OUT
from providers.types import Status

from . import expanding
from .conduct import Balance
from .models import STATUSES, Campaign, Message, Tally

SAMPLE = 20_000  # failed messages of an account whose reasons are counted, newest first
SHOWN = 20  # reasons
UNDONE = (Status.FAILED, Status.EXPIRED)
S = Status
SKIPPED: Mapping[str, str | Promise] = {
    OPTED_OUT: _("They opted out."),
    expanding.UNSUBSCRIBED: _("They unsubscribed from the list."),
    DUPLICATE: _("They are there more than once. They get the message once."),
    expanding.EMPTY: _("With their own words in it, the text is empty."),
    expanding.TOO_LONG: _("With their own words in it, the text is too long for the account."),
}
WORDS: Mapping[str, str | Promise] = {**dict(STATUSES), S.SENT: _("Sent, no report yet")}


@dataclass(frozen=True, slots=True)
class Piece:
    """Messages in one status; "" has no messages yet."""

    label: str | Promise
    n: int
    status: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """``n`` recipients of whom the same is true. ``kind``: its colour. ``pieces``: its messages by status, those that
    are there."""

    kind: str
    label: str | Promise
    n: int
    pieces: tuple[Piece, ...] = ()

    @property
    def status(self) -> str:
        """The one that all of them are in."""
        return self.pieces[0].status if len(self.pieces) == 1 else ""


def parts(balance: Balance, counts: Mapping[str, int]) -> list[Part]:
    """They add up to the recipients. ``counts``: the campaign's kept counts by status."""
    made = [(S.SCHEDULED, S.QUEUED, S.SENDING), (S.DELIVERED, S.SENT), UNDONE, (S.CANCELED,), (S.UNCERTAIN,)]
    waiting, sent, failed, canceled, uncertain = (_pieces(counts, *statuses) for statuses in made)
    unmade = balance.waiting - sum(piece.n for piece in waiting)
    if unmade > 0:
        waiting = (*waiting, Piece(_("Not prepared yet"), unmade))
    return [
        Part("delivered", _("Sent"), balance.sent, sent),
        Part("failed", _("Failed"), balance.failed, failed),
        Part("uncertain", _("Uncertain"), balance.uncertain, uncertain),
        Part("skipped", _("Skipped"), balance.skipped),
        Part("canceled", _("Canceled"), balance.canceled, canceled),
        Part("waiting", _("Waiting"), balance.waiting, waiting),
    ]


def _pieces(counts: Mapping[str, int], *statuses: str) -> tuple[Piece, ...]:
    return tuple(Piece(WORDS[status], counts[status], status) for status in statuses if counts.get(status))


def delivery_rate(balance: Balance) -> float | None:
    """In percent of the messages whose end is known; None: of none."""
    known = balance.delivered + balance.failed
    return 100 * balance.delivered / known if known else None


def skipped(balance: Balance) -> list[tuple[str, int]]:
    """Why some recipients have no message, and how many, the most frequent reason first."""
    ordered = sorted(balance.reasons.items(), key=lambda item: -item[1])
    return [(str(SKIPPED.get(reason, reason)), n) for reason, n in ordered if n]


# --- Why messages failed -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reason:
    """``text``: the sentence of one of them."""

    code: str
    text: str
    n: int


@dataclass(frozen=True, slots=True)
class Failures:
    """The most frequent first. ``cut``: only the newest ``SAMPLE`` were looked at."""

    reasons: list[Reason]
    cut: bool = False


def failures(campaign: Campaign, failed: int) -> Failures:
    """Why ``failed`` messages of the campaign did; at most ``SAMPLE`` rows of each account and status are looked at."""
    if not failed:
        return Failures([])
    ids = Message.objects.filter(campaign=campaign).values("pk")
    rows = Message.objects.filter(pk__gte=ids.order_by("pk")[:1], pk__lte=ids.order_by("-pk")[:1]).order_by("-pk")
    counts: Counter[str] = Counter()
    first: dict[str, tuple[str, str]] = {}
    for account, status in _places():
        for code, text, n in _grouped(campaign, rows.filter(account=account, status=status)):
            counts[code or text] += n
            first.setdefault(code or text, (code, text))
    return Failures([Reason(*first[key], n) for key, n in counts.most_common(SHOWN)], counts.total() < failed)


def _places() -> list[tuple[int, str]]:
    """The accounts that have failed messages, and the statuses these are in."""
    kept = Tally.objects.filter(hour=0, campaign_id=0, account_id__gt=0, status__in=UNDONE, n__gt=0)
    return list(kept.values_list("account_id", "status"))


def _grouped(campaign: Campaign, rows: QuerySet[Message]) -> list[tuple[str, str, int]]:
    """The newest of the rows by code, or where a provider has none by its words: code, words, how many.

    One index has the failed messages of an account in order, none those of a campaign: so the campaign is asked for
    around that, or a database may walk through all of its messages.
    """
    inner, values = rows.values("campaign_id", "error_code", "error_text")[:SAMPLE].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT error_code, MAX(error_text), COUNT(*) FROM ({inner}) AS newest WHERE campaign_id = %s "
            "GROUP BY error_code, CASE error_code WHEN '' THEN error_text ELSE '' END",
            [*values, campaign.pk],
        )
        return list(cursor.fetchall())
