"""``/metrics``: gauges for Prometheus, read from the database when they are asked for: every process says the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.conf import settings
from django.db.models import Count, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api import access
from api.models import Delivery, Webhook
from messaging.models import Message, Posted, Tally, Worker
from providers.models import ProviderAccount
from providers.types import Status

from .health import ALIVE

TEXT = "text/plain; version=0.0.4; charset=utf-8"


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """404 for everybody whom SMSDASH_METRICS does not name."""
    if not access.within(access.address_of(request), settings.SMSDASH_METRICS):
        raise Http404
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Installation())
    return HttpResponse(generate_latest(registry), content_type=TEXT)


class Installation(Collector):
    """Kept counts and small tables; nothing here counts messages."""

    def collect(self) -> Iterator[Metric]:
        accounts = list(ProviderAccount.objects.all())
        yield from _messages({account.pk: account.name for account in accounts})
        yield from _accounts(accounts)
        now = timezone.now()
        working = Worker.objects.filter(progress_at__gt=now - ALIVE).count()
        yield _gauge("smsdash_workers", "Worker clusters that got something done in the last minute.", [((), working)])
        posts = Posted.objects.aggregate(n=Count("pk"))["n"]
        yield _gauge("smsdash_callbacks_waiting", "Posts of providers that are stored, not worked on.", [((), posts)])
        waiting = Delivery.objects.filter(state=Delivery.State.WAITING).count()
        yield _gauge("smsdash_deliveries_waiting", "Deliveries to webhooks that are not over.", [((), waiting)])
        paused = Webhook.objects.exclude(paused_reason="").count()
        yield _gauge("smsdash_webhooks_paused", "Webhooks that nothing is delivered to.", [((), paused)])


def _messages(names: dict[int, str]) -> Iterator[Metric]:
    kept = Tally.objects.filter(hour=0, campaign_id=0, account_id__in=names).values_list("account_id", "status", "n")
    values = [((names[account], status), n) for account, status, n in kept]
    yield _gauge("smsdash_messages", "Messages by their status.", values, "account", "status")
    due = Message.objects.filter(status=Status.QUEUED, due_at__lte=(now := timezone.now()))
    ages = []
    for pk, name in names.items():
        oldest = due.filter(account=pk).aggregate(at=Min("due_at"))["at"]
        ages.append(((name,), (now - oldest).total_seconds() if oldest else 0))
    yield _gauge("smsdash_oldest_due_seconds", "For how long the oldest due message has waited.", ages, "account")


def _accounts(accounts: Iterable[ProviderAccount]) -> Iterator[Metric]:
    sending = [((account.name, account.kind), int(account.sending)) for account in accounts]
    yield _gauge("smsdash_account_sending", "1: it sends; 0: paused or switched off.", sending, "account", "kind")
    up = [((account.name,), int(not account.down_since)) for account in accounts]
    yield _gauge("smsdash_account_up", "0: no request got through of late.", up, "account")
    balances = [((account.name,), account.balance) for account in accounts]
    left = [(labels, float(found.amount)) for labels, found in balances if found and found.amount is not None]
    yield _gauge("smsdash_account_credits", "Credits left, where they are known and limited.", left, "account")


def _gauge(name: str, told: str, values: Iterable[tuple[tuple[str, ...], float]], *labels: str) -> GaugeMetricFamily:
    found = GaugeMetricFamily(name, told, labels=labels)
    for label_values, value in values:
        found.add_metric(label_values, value)
    return found
