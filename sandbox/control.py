"""Strings behind the scene, for tests and demos: set an account up, write to it, read what the carrier has taken.

JSON in and out. Every call carries the account's key as ``Authorization: Bearer``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from providers import registry, web, wire
from providers.errors import KeyRefused
from providers.types import Rate

from . import phones
from .accounts import open_account
from .models import Account, Message
from .sending import plain, received

PAGE = 1000  # messages in one answer

Values = Mapping[str, Any]
Control = Callable[[Account, Values], dict[str, Any]]


def _control(work: Control) -> Callable[[HttpRequest], HttpResponse]:
    """A view of ``work``: who asks, what with, and its ValueErrors as 400."""

    @csrf_exempt
    @login_not_required
    @wraps(work)
    def view(request: HttpRequest) -> HttpResponse:
        try:
            values = _values(request)
            return JsonResponse(work(_account(request, values), values))
        except KeyRefused as error:
            return JsonResponse({"error": str(error)}, status=401)
        except (ValueError, TypeError, OverflowError) as error:
            return JsonResponse({"error": str(error)}, status=400)

    return view


def _values(request: HttpRequest) -> Values:
    asked = web.read(request, request.path)
    values = dict(asked.query) if request.method == "GET" else wire.load_json(asked.body)
    if not isinstance(values, dict):
        raise ValueError("Send a JSON object.")
    return values


def _account(request: HttpRequest, values: Values) -> Account:
    """The account of the bearer's key. Raises KeyRefused; ValueError for an unknown kind."""
    key = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    if not constant_time_compare(str(values.get("key", key)), key):
        raise KeyRefused("Send the account's own key as “Authorization: Bearer KEY”.")
    if values.get("kind") not in registry.kinds():
        raise ValueError("“kind” must be one of " + ", ".join(registry.kinds()))
    return open_account(values["kind"], key)


@require_POST
@_control
def account(account: Account, values: Values) -> dict[str, Any]:
    """Change what is given, of credits (null: unlimited), webhook_url, webhook_secret, rates, latency."""
    given = {name: check(values[name]) for name, check in SETTINGS.items() if name in values}
    for name, value in given.items():
        setattr(account, name, value)
    if given:
        account.save(update_fields=list(given))
    facts = {name: getattr(account, name) for name in SETTINGS if name != "webhook_secret"}
    return facts | {"admitted": account.requests, "limited": account.limited}


@require_POST
@_control
def inbound(account: Account, values: Values) -> dict[str, Any]:
    """A person writes to the account: stored, and posted to its callback by the agent."""
    row = received(account, wire.clean_number(_text(values.get("number"))), _text(values.get("text")), timezone.now())
    row.device, row.sim = str(_text(values.get("device", "")))[:20], _slot(values.get("sim"))
    target = phones.Target(row.device, row.sim)
    row.sender = _text(values.get("to", "")) or phones.number_of(account, target) or account.sender
    row.save()
    return {"id": str(row.pk)}


@require_GET
@_control
def messages(account: Account, values: Values) -> dict[str, Any]:
    """What the carrier took, oldest first, after the id ``after``; on the first page also how often it took what.

    ``number`` and ``text`` narrow both. ``next`` None: that was all.
    """
    limit = min(int(values.get("limit", PAGE)), PAGE)
    asked = {name: plain(values[name]) for name in ("number", "text") if name in values}
    after, now = int(values.get("after", 0)), timezone.now()
    found = Message.objects.filter(account=account, received=False, **asked)
    rows = list(found.filter(id__gt=after).order_by("id")[:limit])
    answer = {
        "messages": [{**_record(row), "status": row.status(now)} for row in rows],
        "next": rows[-1].pk if rows and len(rows) == limit else None,
        "limited": account.limited,
    }
    if not after:
        answer["total"] = found.aggregate(total=Sum("taken"))["total"] or 0
        counts = found.order_by().values("number", "text").annotate(taken=Sum("taken"))
        answer["counts"] = list(counts.order_by("-taken", "number", "text")[:limit])
    return answer


def _record(row: Message) -> dict[str, Any]:
    names = ("number", "text", "sender", "type", "attachments", "device", "sim", "group", "schedule", "taken")
    return {"id": str(row.pk), **{name: getattr(row, name) for name in names}, "accepted_at": row.accepted_at}


def _text(value: Any) -> str:
    if not isinstance(value, str | int):
        raise ValueError("A text is missing, or is not a text.")
    return plain(str(value))


def _slot(value: Any) -> int | None:
    slot = None if value is None else int(value)
    if slot is not None and not 0 <= slot <= 9:
        raise ValueError("“sim” is a slot from 0 to 9.")
    return slot


def _credits(value: Any) -> int | None:
    credits = None if value is None else int(value)
    if credits is not None and abs(credits) > 10**15:
        raise ValueError("“credits” is out of range.")
    return credits


def _rates(value: Any) -> list[str]:
    return [str(Rate.parse(_text(rate))) for rate in list(value)]


def _seconds(value: Any) -> float:
    if not 0 <= float(value) <= 60:
        raise ValueError("“latency” is a number of seconds from 0 to 60.")
    return float(value)


SETTINGS: Mapping[str, Callable[[Any], Any]] = {
    "credits": _credits,
    "webhook_url": _text,
    "webhook_secret": _text,
    "rates": _rates,
    "latency": _seconds,
}
