"""Rows of the providers room: accounts, their rate windows, and the trace of every call."""

from __future__ import annotations

import secrets
import zoneinfo
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import registry
from .base import Adapter
from .encryption import EncryptedJSONField
from .hours import parse as parse_hours
from .types import Account, Credits, Feature, Rate

CALLBACKS = "/callbacks/"  # written out, so that a worker need not load all pages to know it
RETRY = timedelta(minutes=5)  # after so long an account that is down, and that nobody tries, is tried once
MOST_CREDITS = Decimal(10**10 - 1)  # that the column holds


def new_token() -> str:
    return secrets.token_urlsafe(24)


class ProviderAccount(models.Model):
    """An account at a provider. ``kind`` is the slug of a file in adapters/; new kinds need no migration.

    ``paused_reason`` empty: sending. A pause by an operator (``paused_code`` empty) or by an error for the whole
    account (its code) keeps the queue as it is; ``probe_at``: when it is asked whether that error is mended.
    ``down_since``: no request got through since then; ``probe_at`` is then when it is tried, if no message of its own
    does that. ``rates`` are texts like ``100/minute``; empty: the kind's published ones. ``hours`` (see hours.py), by
    the clock of ``zone``; empty: always.
    """

    name = models.CharField(_("name"), max_length=60, unique=True)
    kind = models.SlugField(_("kind"), max_length=30, db_index=False)
    base_url = models.URLField(_("base URL"), max_length=300)
    credentials = EncryptedJSONField(_("credentials"), default=dict)
    hints = models.JSONField(default=dict, editable=False, help_text="Last four characters of each secret.")
    sender = models.CharField(_("default sender ID"), max_length=20, blank=True)
    rates = models.JSONField(_("rate limits"), default=list, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    zone = models.CharField(_("time zone"), max_length=40, blank=True, help_text=_("Empty: the server's."))
    hours = models.CharField(_("sending hours"), max_length=200, blank=True)
    paused_reason = models.CharField(_("paused because"), max_length=300, blank=True)
    paused_code = models.CharField(max_length=64, blank=True, editable=False)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    probe_at = models.DateTimeField(null=True, blank=True, editable=False)
    probes = models.PositiveSmallIntegerField(default=0, editable=False)
    down_since = models.DateTimeField(null=True, blank=True, editable=False)
    down_reason = models.CharField(max_length=300, blank=True, editable=False)
    credits = models.DecimalField(_("credits"), max_digits=14, decimal_places=4, null=True, blank=True, editable=False)
    credits_unlimited = models.BooleanField(default=False, editable=False)
    credits_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    callback_token = models.CharField(max_length=40, unique=True, default=new_token, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name = _("provider account")
        verbose_name_plural = _("provider accounts")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.kind not in registry.kinds():
            raise ValidationError({"kind": _("There is no such kind of provider.")})
        if self.base_url and not self.base_url.lower().startswith(("http://", "https://")):
            raise ValidationError({"base_url": _("The base URL begins with http:// or https://.")})
        try:
            self.rates = [str(Rate.parse(rate)) for rate in self.rates]
        except ValueError as error:
            raise ValidationError({"rates": str(error)}) from error
        try:
            self.hours = str(parse_hours(self.hours))
        except ValueError as error:
            raise ValidationError({"hours": str(error)}) from error
        if self.zone and self.zone not in zoneinfo.available_timezones():
            raise ValidationError({"zone": _("There is no such time zone. Write it as Europe/Tallinn.")})

    @property
    def kind_class(self) -> type[Adapter]:
        return registry.adapter_class(self.kind)

    def can(self, feature: Feature) -> bool:
        return feature in self.kind_class.supports

    @property
    def sending(self) -> bool:
        return self.enabled and not self.paused_reason

    @property
    def windows(self) -> tuple[Rate, ...]:
        """The rate limits in force, all at once."""
        return tuple(Rate.parse(rate) for rate in self.rates) or self.kind_class.rates

    @property
    def clock(self) -> tzinfo:
        """The one that the sending hours are meant by."""
        return zoneinfo.ZoneInfo(self.zone) if self.zone else timezone.get_default_timezone()

    def opening(self, moment: datetime) -> datetime:
        """``moment`` itself if it lies within the sending hours, else the next moment that does."""
        return parse_hours(self.hours).opening(moment, self.clock)

    def closed_until(self, moment: datetime) -> datetime | None:
        """When the sending hours begin again. None: they are open."""
        opens = self.opening(moment)
        return opens if opens > moment else None

    @property
    def balance(self) -> Credits | None:
        """None: not known."""
        if self.credits_seen_at is None:
            return None
        return Credits(None if self.credits_unlimited else self.credits)

    @property
    def callback_url(self) -> str:
        return f"{settings.SMSDASH_PUBLIC_URL}{CALLBACKS}{self.callback_token}/"

    def adapter(self) -> Adapter:
        """A fresh adapter with its own connections. Holds the credentials in clear: do not keep or print it."""
        return self.kind_class(Account(self.base_url, dict(self.credentials), self.sender))

    def set_credentials(self, values: dict[str, str]) -> None:
        """Replace the named credentials (an empty value keeps the stored one) and their hints."""
        self.credentials = {**self.credentials, **{name: value for name, value in values.items() if value}}
        secret = {field.name for field in self.kind_class.fields if field.secret}
        self.hints = {name: value[-4:] for name, value in self.credentials.items() if name in secret and len(value) > 8}

    def saw_credits(self, balance: Credits | None) -> None:
        """Keep what the provider said is left. What is not empty lifts a pause by an error."""
        if balance is None:
            return
        self.credits = None if balance.amount is None else max(-MOST_CREDITS, min(balance.amount, MOST_CREDITS))
        self.credits_unlimited = balance.unlimited
        self.credits_seen_at = timezone.now()
        self.save(update_fields=["credits", "credits_unlimited", "credits_seen_at"])
        if balance.amount is None or balance.amount > 0:
            self.recover()

    def pause(self, reason: str, code: str = "") -> None:
        """Send nothing until it is resumed: by an operator (no ``code``), or because of an error for the whole account
        (its code). Such an error never takes the place of another pause; see probing.py for how it ends."""
        if not code:
            self._set(paused_reason=_kept(reason), paused_code="", paused_at=timezone.now(), probe_at=None)
            return
        now = timezone.now()
        self._set(
            Q(paused_reason=""),
            paused_reason=_kept(reason),
            paused_code=code[:64],
            paused_at=now,
            probe_at=now + self.until_probe(self.probes),
        )

    def still_paused(self, reason: str, code: str) -> None:
        """A probe found this wrong by now; the pause by an error goes on."""
        self._set(~Q(paused_code=""), paused_reason=_kept(reason), paused_code=code[:64])

    def resume(self) -> None:
        self._set(paused_reason="", paused_code="", paused_at=None, probe_at=None, probes=0)

    def recover(self) -> bool:
        """Resume if an error paused it, because that is probably mended; an operator's pause stays. True: it resumed.

        ``probes`` are kept until a message gets through."""
        nothing = {"paused_reason": "", "paused_code": "", "paused_at": None, "probe_at": None}
        return bool(self.paused_code) and self._set(~Q(paused_code=""), **nothing)

    def saw_success(self) -> None:
        """A request got through: the account is up, and whatever paused it is mended. Free where nothing was wrong."""
        if (self.down_since or self.probes) and not self.paused_reason:
            self._set(Q(paused_reason=""), down_since=None, down_reason="", probe_at=None, probes=0)

    def saw_failure(self, reason: str) -> None:
        """No request gets through. Keeps when that began and why; nearly free where it is known."""
        now = timezone.now()
        if not self.down_since:
            self._set(Q(down_since=None), down_since=now, down_reason=_kept(reason), probe_at=now + RETRY)
        elif self.is_untried(now + RETRY / 2):
            self.probe_at = now + RETRY
            self.is_tried()

    def is_tried(self) -> None:
        """Somebody tries it now, whatever comes of that."""
        ProviderAccount.objects.filter(pk=self.pk, paused_reason="").update(probe_at=timezone.now() + RETRY)

    def is_untried(self, now: datetime) -> bool:
        """It is down, and nobody tried for long whether it still is."""
        return self.down_since is not None and (self.probe_at or self.down_since + RETRY) <= now

    @staticmethod
    def until_probe(probes: int) -> timedelta:
        """A minute, doubled with each probe, an hour at most."""
        return timedelta(minutes=min(60, 2 ** min(probes, 6)))

    def _set(self, condition: Q | None = None, **values: Any) -> bool:
        """Set columns if the stored row meets the condition, so that several workers agree; then see what is stored."""
        rows = ProviderAccount.objects.filter(condition or Q(), pk=self.pk)
        mine = bool(rows.update(**values, updated_at=timezone.now()))
        self.refresh_from_db(fields=list(values))  # not updated_at: by that a lane sees that it is to look again
        return mine


class Pace(models.Model):
    """What an account used of its rate limits lately; see pacing.py. ``held_until``: Unix seconds, the database's
    clock."""

    account = models.OneToOneField(ProviderAccount, models.CASCADE, primary_key=True, related_name="pace")
    log = models.TextField(default="", blank=True)
    held_until = models.FloatField(default=0)

    class Meta:
        verbose_name = _("pace of an account")
        verbose_name_plural = _("paces of accounts")

    def __str__(self) -> str:
        return str(self.account_id)


class Exchange(models.Model):
    """One call to a provider: made before the request leaves, completed with its trace, secrets cut out.

    While ``open``, ``refs`` are the ids of the messages in the request: whoever takes over from a worker that
    stopped knows by them what may have been taken. ``trace``: see traces.py.
    """

    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="exchanges", db_index=False)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    verb = models.CharField(max_length=20)
    open = models.BooleanField(default=False)
    refs = models.JSONField(default=list, blank=True)
    status = models.PositiveSmallIntegerField(null=True)
    milliseconds = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    trace = models.BinaryField(default=bytes)

    class Meta:
        verbose_name = _("exchange")
        verbose_name_plural = _("exchanges")
        indexes = [models.Index(fields=["account"], name="exchange_open", condition=Q(open=True))]

    def __str__(self) -> str:
        return f"{self.verb} {self.at:%Y-%m-%d %H:%M:%S}"


class Wanted(models.Model):
    """An event that somebody wants to hear of; see outbox.py. Kept by whoever delivers them."""

    name = models.CharField(max_length=30, primary_key=True)

    class Meta:
        verbose_name = _("wanted event")
        verbose_name_plural = _("wanted events")

    def __str__(self) -> str:
        return self.name


class Occurrence(models.Model):
    """Something that happened and that somebody wants to hear of: ``name`` as ``message.delivered``, ``subject`` the id
    of the message, USSD request or contact. Written with what happened, gone once it was passed on (outbox.py)."""

    name = models.CharField(max_length=30)
    subject = models.BigIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("event to pass on")
        verbose_name_plural = _("events to pass on")

    def __str__(self) -> str:
        return f"{self.name} {self.subject}"


class AllowedHost(models.Model):
    """A host in a private network that links and webhooks may point to, because an administrator said so. See
    guard.py."""

    name = models.CharField(_("host"), max_length=253, unique=True, help_text=_("A host name or an IP address."))
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = _("allowed host")
        verbose_name_plural = _("allowed hosts")

    def __str__(self) -> str:
        return self.name


def pretty_amount(amount: Decimal) -> str:
    """1229, 0.01, 98.5: no trailing zeros and no exponent."""
    return f"{amount.normalize():f}"


def _kept(reason: str) -> str:
    """As a column takes it: providers send NUL, PostgreSQL keeps none."""
    return reason.replace("\x00", "\ufffd")[:300]
