"""What the background workers run for phones. Each may run twice, late or never; the rows say what is to be done."""

from __future__ import annotations

from django.core.cache import cache
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from providers.errors import ProviderError
from providers.models import ProviderAccount
from providers.tasks import KEPT, Check

from . import inventory, ussd_schedule, wakeup
from . import ussd as ussd_requests

PATIENCE = 10.0  # seconds that a person waits for a place in the rate limit


def sync(account_id: int) -> None:
    """List an account's phones, if that is due."""
    inventory.refresh(account_id)


def ussd(request_id: int) -> None:
    ussd_requests.work(request_id)


def schedule(schedule_id: int) -> None:
    ussd_schedule.run(schedule_id)


# --- Asked for by a person; how far it is waits in the cache -----------------------------------------


def last(account_ids: list[int]) -> dict[int, Check]:
    """How the listings that people asked for lately went, by account."""
    found: dict[str, Check] = cache.get_many([_key(pk) for pk in account_ids])
    return {pk: found[_key(pk)] for pk in account_ids if _key(pk) in found}


def start_sync(account_id: int) -> Check:
    waiting = Check("waiting")
    cache.set(_key(account_id), waiting, KEPT)
    wakeup.sync_now(account_id)
    return waiting


def sync_now(account_id: int) -> None:
    account = ProviderAccount.objects.filter(pk=account_id).first()
    if account is None:
        return
    cache.set(_key(account_id), Check("waiting", _("The provider is asked for its phones …")), KEPT)
    try:
        found = Check("ok", _said(inventory.sync(account, PATIENCE)))
    except ProviderError as error:
        inventory.failed(account_id, error)
        found = Check("bad", str(error))
    cache.set(_key(account_id), found, KEPT)


def _said(done: inventory.Synced) -> str:
    words = ngettext("The provider lists %d phone", "The provider lists %d phones", done.phones) % done.phones
    words += " " + ngettext("with %d SIM.", "with %d SIMs.", done.sims) % done.sims
    if done.new:
        words += " " + ngettext("%d is new.", "%d are new.", done.new) % done.new
    if done.gone:
        words += " " + ngettext("%d is gone.", "%d are gone.", done.gone) % done.gone
    return words


def _key(account_id: int) -> str:
    return f"devices-sync-{account_id}"
