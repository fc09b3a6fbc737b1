"""What an operator asks of a provider from the account's page. Run by a worker; the answer waits in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_q.tasks import async_task

from .encryption import Locked
from .errors import ProviderError
from .models import ProviderAccount, pretty_amount
from .probing import question
from .types import AccountInfo, DeviceInfo, RegisterWebhook, Trace, WebhookInfo

KEPT = 900  # seconds that an answer can be seen
PATIENCE = 20  # seconds until a page says that no worker took it


@dataclass(frozen=True, slots=True)
class Check:
    """``state`` waiting: no worker has answered yet. ``trace``: the exchange, secrets cut out."""

    state: Literal["waiting", "ok", "bad"]
    text: str = ""
    at: datetime = field(default_factory=timezone.now)
    trace: Trace | None = None

    @property
    def waiting(self) -> bool:
        return self.state == "waiting"

    @property
    def late(self) -> bool:
        return self.waiting and (timezone.now() - self.at).total_seconds() > PATIENCE


def last(account_id: int) -> Check | None:
    found: Check | None = cache.get(_key(account_id))
    return found


def start(task: Callable[[int], None], account_id: int) -> Check:
    """Queue ``check`` or ``register_webhook`` and note that it waits."""
    waiting = Check("waiting")
    cache.set(_key(account_id), waiting, KEPT)
    async_task(f"{__name__}.{task.__name__}", account_id)
    return waiting


def check(account_id: int) -> None:
    """Ask for the balance, or else for the phones: proof that address and key are right."""
    _answer(account_id, _ask)


def register_webhook(account_id: int) -> None:
    """Tell the provider where its reports go, and keep the secret that it signs them with."""
    _answer(account_id, _register)


def _key(account_id: int) -> str:
    return f"account-check-{account_id}"


def _answer(account_id: int, work: Callable[[ProviderAccount, list[Trace]], str]) -> None:
    traces: list[Trace] = []
    try:
        account = ProviderAccount.objects.get(pk=account_id)
        found = Check("ok", work(account, traces))
    except ProviderAccount.DoesNotExist:
        return
    except (ProviderError, Locked) as error:
        found = Check("bad", error.sentence if isinstance(error, ProviderError) else str(error))
    cache.set(_key(account_id), Check(found.state, found.text, trace=traces[-1] if traces else None), KEPT)


def _ask(account: ProviderAccount, traces: list[Trace]) -> str:
    asked = question(account.kind_class)
    if asked is None:
        return _("This kind of account has no way to ask without sending. Send a test message instead.")
    answer: AccountInfo | tuple[DeviceInfo, ...] = account.adapter().call(asked, traces)
    if isinstance(answer, tuple):
        account.recover()
        words = ngettext("The key is right: %d phone is there.", "The key is right: %d phones are there.", len(answer))
        return words % len(answer)
    account.saw_credits(answer.credits)
    if answer.credits is None:
        account.recover()
    return " ".join((_("The key is right."), _left(answer)))


def _left(answer: AccountInfo) -> str:
    if answer.credits is None:
        return _("The provider does not say how many credits are left.")
    amount: Decimal | None = answer.credits.amount
    return _("Credits are unlimited.") if amount is None else _("Credits left: %s.") % pretty_amount(amount)


def _register(account: ProviderAccount, traces: list[Trace]) -> str:
    asked = RegisterWebhook(account.callback_url, account.kind_class.webhook_events)
    answer: WebhookInfo = account.adapter().call(asked, traces)
    has_field = any(field.name == "webhook_secret" for field in account.kind_class.fields)
    if not answer.secret or not has_field:
        return _("The webhook is registered. If the provider's pages show a secret for it, enter it here.")
    _keep_secret(account.pk, answer.secret)
    return _("The webhook is registered and its secret is stored.")


def _keep_secret(account_id: int, secret: str) -> None:
    with transaction.atomic():
        account = ProviderAccount.objects.select_for_update().get(pk=account_id)
        account.set_credentials({"webhook_secret": secret})
        account.save(update_fields=["credentials", "hints", "updated_at"])
