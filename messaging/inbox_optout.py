"""When somebody opts out: what waits for them is skipped at once, wherever it waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts import consent
from contacts.models import How
from providers.types import Status

from . import conduct, gate, inbox, ledger
from .cancel import CANCELABLE
from .ledger import Change
from .models import Answer, Conversation, Message


def opt_out(conversation: Conversation, by: Any) -> None:
    """An operator read that they want no more messages; what they wrote last is the proof."""
    said = Message.objects.filter(pk=conversation.heard).select_related("account").only("text", "account__name").first()
    proof: Mapping[str, Any] = {"text": said.text, "message": said.pk, "account": said.account.name} if said else {}
    consent.opt_out_numbers([conversation.number], How.OPERATOR, str(by), _("In a conversation"), proof=proof)
    inbox.flag(conversation, "")
    skip_waiting([conversation.number])


def skip_waiting(numbers: Sequence[str]) -> int:
    """Cancel what has not left to these people, with that reason; its campaigns count them as skipped. Returns how
    many messages.

    Whatever is missed, because it is on its way or somebody stops here, is stopped when it is to leave (admission.py).
    """
    confirms = Answer.objects.filter(campaign_id=OuterRef("campaign_id"), confirms=True)
    waiting = Message.objects.filter(~Exists(confirms), number__in=list(numbers), status__in=CANCELABLE)
    accounts = set(waiting.values_list("account_id", flat=True))
    if not accounts:
        return 0
    values = {"error_code": "opted_out", "error_text": _("The recipient opted out."), "done_at": timezone.now()}
    with gate.closed(accounts) as flying:
        here = waiting.filter(account_id__in=accounts).values_list("pk", "campaign_id")
        campaigns = {pk: campaign for pk, campaign in here if pk not in flying}
        moved = ledger.apply(Change(pk, Status.CANCELED, values) for pk in campaigns)
        conduct.skip_late(Counter(campaign for pk in moved if (campaign := campaigns[pk])))
    return len(moved)
