"""Where the reports of a request's own messages go: its callback_url."""

from __future__ import annotations

from collections.abc import Callable

from providers import errors, guard

from .models import Addressed, ApiKey, Webhook

EVENTS = ("message.sent", "message.delivered", "message.failed", "message.expired")
MAX_URL = 500  # characters


def webhook_of(key: ApiKey, url: str) -> Webhook:
    """The row for a callback_url; the same one for all requests of a key that name it. Raises InvalidRequest.

    A host that is not known at this moment may be known when there is something to tell.
    """
    known = Webhook.objects.filter(key=key, url=url, for_campaigns=True).first()
    if known:
        return known
    if len(url) > MAX_URL:
        raise errors.InvalidRequest(f"“callback_url” has at most {MAX_URL} characters.")
    try:
        guard.check(url)
    except guard.UnknownHost:
        pass
    except guard.Refused as refused:
        raise errors.InvalidRequest(f"“callback_url”: {refused}") from refused
    values = {"events": list(EVENTS), "format": Webhook.Format.SMSPROVIDER}
    return Webhook.objects.get_or_create(key=key, url=url, for_campaigns=True, defaults=values)[0]


def addressed(key: ApiKey, url: str) -> Callable[[int], None]:
    """What writes down, in the transaction that stores a campaign, where its reports go. Raises InvalidRequest."""
    if not url:
        return lambda campaign_id: None
    webhook = webhook_of(key, url)

    def note(campaign_id: int) -> None:
        Addressed.objects.create(campaign_id=campaign_id, webhook=webhook)

    return note
