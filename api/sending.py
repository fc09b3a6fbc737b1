"""Send, as the served wires ask for it: checked, charged and stored before it is acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from django.db.models import QuerySet

from contacts.models import Contact, ContactList, Subscription
from messaging import accepting, campaigns, ledger, log, routes
from messaging.accepting import Order, Row
from messaging.campaigns import Draft
from messaging.models import Campaign, Message
from messaging.segments import measure
from providers import errors
from providers.types import Credits, Outcome, Outgoing, Problem, Send, SendResult, Status

from . import access, gateway_phones, recall, terms, webhooks
from .models import Addressed, ApiKey, Scope
from .terms import Way

AT_ONCE = 20_000  # people of a list whose messages are made in the request; of a longer one, in the background
EXPANDED = 0.5  # seconds for which a longer list is worked on before it is answered
_OPTED_OUT = Problem(errors.OptedOut.default_code, errors.OptedOut.default_text)


def send(key: ApiKey, op: Send) -> SendResult:
    """Accept messages; an outcome for each, in their order, with its id, or with the reason why it was refused alone.

    Two that say the same to a number are two messages: the seed's own program writes such, and so does another smsdash
    that has us as its provider. Those to a list are answered with an outcome for each row that was made. Raises
    ProviderError when nothing was taken.
    """
    access.need(key, Scope.SEND)
    way = terms.way_of(key, op)
    op = terms.checked(op, way)
    to = _list(op.list_id) if op.list_id else None
    if to and to.subscribed > AT_ONCE:
        return _in_the_background(key, op, way, to)
    if to:
        op = replace(op, messages=_members(op.messages[0], to))
    refused = terms.refused(op.messages, way)
    good = {place: m for place, m in enumerate(op.messages) if m.number not in refused}
    if not good:
        raise errors.InvalidNumber(next(iter(refused.values())).text)
    spent = Spent(key)
    order = _order(key, op, way, list(good.values()), spent, to)
    try:
        accepted = accepting.accept(order)
    except routes.NoMember as error:
        raise errors.Unavailable("The route of this API key has no account. Add one to it.") from error
    rows = dict(zip(good, accepted.rows, strict=True))
    tell = Teller(accepted.token.hex, accepted.rows)
    outcomes = (
        tell(m, rows[place]) if place in rows else failed(m, refused[m.number]) for place, m in enumerate(op.messages)
    )
    return SendResult(tuple(outcomes), spent.left, spent.parts)


def _order(
    key: ApiKey, op: Send, way: Way, messages: Sequence[Outgoing], spent: Spent, to: ContactList | None
) -> Order:
    webhook = webhooks.for_request(key, op.callback_url) if op.callback_url else None

    def stored(campaign_id: int) -> None:
        if webhook:
            Addressed.objects.create(campaign_id=campaign_id, webhook=webhook)
        if to:
            Campaign.lists.through.objects.create(campaign_id=campaign_id, contactlist=to)

    return Order(
        account=way.account,
        messages=messages,
        route=way.route,
        sender=op.sender,
        due_at=op.schedule,
        priority=int(op.priority),
        devices=way.devices,
        client=key.pk,
        user_id=key.owner_id,
        charge=spent,
        stored=stored,
        proof=key.proof,
        still=recall.still,
    )


# --- To a list of ours -------------------------------------------------------------------------------------


def _list(text: str) -> ContactList:
    found = ContactList.objects.filter(pk=log.read_id(text) or 0).first()
    if found is None:
        raise errors.NotFound(f"There is no contact list with the ID {text}.")
    return found


def _people(to: ContactList) -> QuerySet[Contact]:
    """Who gets what is sent to a list."""
    places = Subscription.objects.filter(list=to, subscribed=True, contact__opted_out_at=None)
    return Contact.objects.filter(pk__in=places.values("contact")).order_by("pk")


def _members(message: Outgoing, to: ContactList) -> tuple[Outgoing, ...]:
    """The message to each of them. Raises NotFound when there is nobody."""
    found = tuple(replace(message, number=number) for number in _people(to).values_list("number", flat=True))
    if not found:
        raise errors.NotFound("Nobody on this contact list is subscribed.")
    return found


def _in_the_background(key: ApiKey, op: Send, way: Way, to: ContactList) -> SendResult:
    """Outcomes of the messages that are made by the time of the answer; ``read-messages.php`` finds them all."""
    (message,), spent = op.messages, Spent(key)
    draft = Draft(
        account=way.account,
        numbers=(),
        text=message.text,
        sender=op.sender,
        attachments=message.attachments,
        due_at=op.schedule,
        priority=int(op.priority),
        route=way.route,
        devices=way.devices.write(),
        lists=[to],
        user=key.owner,
        client=key.pk,
    )
    with ledger.together():
        spent(measure(message.text).parts * _people(to).count())
        campaign = campaigns.submit(draft)
    campaigns.expand(campaign.pk, seconds=EXPANDED)
    made = list(Message.objects.filter(campaign=campaign).order_by("pk")[:AT_ONCE])
    rows = [Row(m.pk, Status(m.status), m.account_id, m.device, m.sim) for m in made]
    tell = Teller(campaign.token.hex, rows)
    outcomes = (tell(replace(message, number=m.number), row) for m, row in zip(made, rows, strict=True))
    return SendResult(tuple(outcomes), spent.left, spent.parts)


# --- What it costs -----------------------------------------------------------------------------------------


class Spent:
    """Takes parts from the key's budget in the transaction that stores them; remembers how many, and what is left."""

    def __init__(self, key: ApiKey) -> None:
        self.key, self.parts, self.left = key, Decimal(0), credits_of(key)

    def __call__(self, parts: int) -> None:
        left = access.spend(self.key, parts)
        self.parts, self.left = Decimal(parts), Credits(None if left is None else Decimal(left))


def credits_of(key: ApiKey) -> Credits:
    return Credits(None if key.credits is None else Decimal(key.credits))


# --- What is answered ------------------------------------------------------------------------------------


class Teller:
    """Makes outcomes of the rows of an order. ``group``: what the wires call it by."""

    def __init__(self, group: str, rows: Iterable[Row | None]) -> None:
        self.group = group
        phones = {(row.account_id, row.device) for row in rows if row and row.device}
        self.phones = gateway_phones.ids(phones) if phones else {}

    def __call__(self, message: Outgoing, row: Row | None) -> Outcome:
        if row is None:
            return failed(message, _OPTED_OUT)
        device = self.phones.get((row.account_id, row.device), "") if row.device else ""
        return Outcome(
            row.status,
            number=message.number,
            provider_id=str(row.id),
            group=self.group,
            device=device,
            sim=row.sim if device else None,
        )


def failed(message: Outgoing, problem: Problem) -> Outcome:
    return Outcome(Status.FAILED, number=message.number, problem=problem)
