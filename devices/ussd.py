"""USSD requests and their answers."""

from __future__ import annotations

from django.utils import timezone

from providers.models import ProviderAccount
from providers.types import UssdReply

from .models import UssdRequest


def answer(account: ProviderAccount, reply: UssdReply) -> UssdRequest | None:
    """Write the network's answer to the open request it belongs to: by id, else the latest with that code and SIM.

    Returns None when no open request matches, as when the same answer is posted twice.
    """
    waiting = UssdRequest.objects.filter(account=account, response__isnull=True)
    if reply.id:
        waiting = waiting.filter(provider_id=reply.id)
    else:
        waiting = waiting.filter(code=reply.code, device_id=reply.device)
    request = waiting.order_by("-pk").first()
    if request is None:
        return None
    request.response, request.answered_at = reply.response, reply.at or timezone.now()
    request.save(update_fields=["response", "answered_at"])
    return request
