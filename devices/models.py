"""Phones and SIMs behind an account, the USSD codes dialled on them, and what their answers told."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from providers.models import ProviderAccount


def spelled(value: Decimal, unit: str = "") -> str:
    """12.50 EUR, 3 EUR, 1,250 SMS: a fraction has two places at least."""
    bare = value.normalize()
    places = -int(bare.as_tuple().exponent)
    return f"{bare:,.{0 if places <= 0 else max(2, places)}f} {unit}".strip()


class Inventory(models.Model):
    """When the phones of an account were last listed, and when they are again. ``error``: why the last try failed."""

    account = models.OneToOneField(ProviderAccount, models.CASCADE, primary_key=True, related_name="inventory")
    synced_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(default=timezone.now, db_index=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = _("inventory")
        verbose_name_plural = _("inventories")

    def __str__(self) -> str:
        return str(self.account_id)


class Device(models.Model):
    """A phone as the account's provider knows it; ``device_id`` is the provider's.

    Ours, and kept whatever the provider lists: ``alias``; ``chosen``, the primary phone instead of the provider's;
    ``default_slot``, the SIM that sends where none is named (None: the phone decides); ``paused_at``, since when
    nothing goes out through it. ``gone_at``: since then the provider no longer lists it.
    """

    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="devices")
    device_id = models.CharField(_("device ID"), max_length=40)
    name = models.CharField(_("name"), max_length=100, blank=True)
    model = models.CharField(_("model"), max_length=100, blank=True)
    android = models.CharField(_("Android version"), max_length=40, blank=True)
    app = models.CharField(_("app version"), max_length=40, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    online = models.BooleanField(_("online"), default=True)
    primary = models.BooleanField(_("primary"), default=False)
    last_seen = models.DateTimeField(_("last seen"), null=True, blank=True)
    synced_at = models.DateTimeField(default=timezone.now, editable=False)
    alias = models.CharField(_("alias"), max_length=60, blank=True)
    chosen = models.BooleanField(_("primary by choice"), default=False)
    default_slot = models.PositiveSmallIntegerField(_("default SIM"), null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    paused_by = models.CharField(max_length=150, blank=True, editable=False)
    gone_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["account", "name"]
        constraints = [
            models.UniqueConstraint(fields=["account", "device_id"], name="one_row_per_device"),
            models.UniqueConstraint(fields=["account"], condition=Q(chosen=True), name="one_chosen_phone"),
        ]
        verbose_name = _("device")
        verbose_name_plural = _("devices")

    def __str__(self) -> str:
        return self.alias or self.name or self.device_id

    @property
    def silent(self) -> bool:
        """Had it not been seen for SMSDASH_SILENT_AFTER minutes when its provider listed it last?"""
        if not self.enabled or self.gone_at or self.last_seen is None:
            return False
        return self.synced_at - self.last_seen >= timedelta(minutes=settings.SMSDASH_SILENT_AFTER)


class Sim(models.Model):
    """``slot`` counts from 0. ``label`` is the provider's, often the name of the network.

    Ours: ``alias``, ``operator`` (empty: as the label says), ``paused_at``, and the limits ``per_hour`` and
    ``per_day`` (None: no limit). ``log``: what was used lately, as providers/pacing.py writes it.
    """

    device = models.ForeignKey(Device, models.CASCADE, related_name="sims")
    slot = models.PositiveSmallIntegerField(_("slot"))
    label = models.CharField(_("label"), max_length=100, blank=True)
    number = models.CharField(_("number"), max_length=16, blank=True)
    alias = models.CharField(_("alias"), max_length=60, blank=True)
    operator = models.CharField(_("operator"), max_length=100, blank=True)
    per_hour = models.PositiveIntegerField(_("messages an hour"), null=True, blank=True)
    per_day = models.PositiveIntegerField(_("messages a day"), null=True, blank=True)
    log = models.TextField(default="", blank=True, editable=False)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    paused_by = models.CharField(max_length=150, blank=True, editable=False)
    gone_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["device", "slot"]
        constraints = [models.UniqueConstraint(fields=["device", "slot"], name="one_row_per_slot")]
        verbose_name = _("SIM")
        verbose_name_plural = _("SIMs")

    def __str__(self) -> str:
        return f"{self.device} · {self.alias or self.label or self.slot}"

    @property
    def title(self) -> str:
        return self.alias or self.label or _now("SIM %d") % (self.slot + 1)

    @property
    def carrier(self) -> str:
        """The network, as we or the provider call it."""
        return self.operator or self.label


class SavedCode(models.Model):
    """A USSD code under a name: for one SIM, for the SIMs of an operator, or for all.

    ``pattern``: a regular expression whose group ``balance``, or else its first, is a number in the answer.
    ``decimal``: the sign before its decimals; empty: as it looks. Below ``warn_below`` of ``unit`` a person is warned.
    """

    AS_IT_LOOKS, POINT, COMMA = "", ".", ","

    name = models.CharField(_("name"), max_length=60)
    code = models.CharField(_("code"), max_length=182)
    sim = models.ForeignKey(Sim, models.CASCADE, null=True, blank=True, related_name="codes", verbose_name=_("SIM"))
    operator = models.CharField(_("operator"), max_length=100, blank=True)
    pattern = models.CharField(_("pattern"), max_length=200, blank=True)
    decimal = models.CharField(
        _("decimals"),
        max_length=1,
        blank=True,
        default=AS_IT_LOOKS,
        choices=[(AS_IT_LOOKS, _("As the number looks")), (POINT, _("After a point")), (COMMA, _("After a comma"))],
    )
    unit = models.CharField(_("unit"), max_length=10, blank=True)
    warn_below = models.DecimalField(_("warn below"), max_digits=14, decimal_places=4, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("saved code")
        verbose_name_plural = _("saved codes")

    def __str__(self) -> str:
        return self.name

    @property
    def floor(self) -> str:
        """The limit of the warning, as it is shown."""
        return "" if self.warn_below is None else spelled(self.warn_below, self.unit)


class UssdSchedule(models.Model):
    """A saved code that is dialled again and again. ``error``: why it was not dialled the last time."""

    HOUR, DAY = 3600, 86_400
    EVERY = [
        (HOUR, _("Every hour")),
        (6 * HOUR, _("Every 6 hours")),
        (12 * HOUR, _("Every 12 hours")),
        (DAY, _("Every day")),
        (7 * DAY, _("Every week")),
    ]

    saved = models.ForeignKey(SavedCode, models.CASCADE, related_name="schedules", verbose_name=_("saved code"))
    sim = models.ForeignKey(Sim, models.CASCADE, related_name="schedules", verbose_name=_("SIM"))
    every = models.PositiveIntegerField(_("how often"), choices=EVERY, default=DAY)
    next_at = models.DateTimeField(_("next time"), default=timezone.now)
    enabled = models.BooleanField(_("enabled"), default=True)
    error = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["next_at", "id"]
        indexes = [models.Index(fields=["next_at"], condition=Q(enabled=True), name="ussd_scheduled")]
        verbose_name = _("scheduled code")
        verbose_name_plural = _("scheduled codes")

    def __str__(self) -> str:
        return f"{self.saved} ({self.get_every_display()})"


class UssdRequest(models.Model):
    """A code dialled on a SIM; ``response`` null until the network answers.

    ``error``: why it failed, or went without an answer. ``value``: the number that the saved code's pattern found.
    While it is open, ``poll_at`` is when a worker looks after it next.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("Waits for a worker")
        ASKED = "asked", _("Waits for the answer")
        ANSWERED = "answered", _("Answered")
        FAILED = "failed", _("Failed")
        SILENT = "silent", _("No answer")

    OPEN = (State.QUEUED, State.ASKED)

    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="ussd_requests")
    device_id = models.CharField(max_length=40)
    sim = models.PositiveSmallIntegerField(null=True, blank=True)
    code = models.CharField(_("code"), max_length=182)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    response = models.TextField(_("response"), null=True, blank=True)  # noqa: DJ001 - not answered is not ''
    error = models.CharField(max_length=300, blank=True)
    value = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    provider_id = models.CharField(max_length=64, blank=True)
    saved = models.ForeignKey(SavedCode, models.SET_NULL, null=True, blank=True, related_name="requests")
    schedule = models.ForeignKey(UssdSchedule, models.SET_NULL, null=True, blank=True, related_name="requests")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    polls = models.PositiveSmallIntegerField(default=0)
    poll_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["account", "provider_id"]),
            models.Index(fields=["account", "device_id", "id"], name="ussd_by_phone"),
            models.Index(fields=["poll_at"], condition=Q(poll_at__isnull=False), name="ussd_polls"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "device_id", "sim"],
                condition=Q(state__in=("queued", "asked")),
                name="one_open_ussd_on_a_sim",
            ),
            models.UniqueConstraint(
                fields=["account", "device_id"],
                condition=Q(state__in=("queued", "asked"), sim__isnull=True),
                name="one_open_ussd_on_a_phone",
            ),
        ]
        permissions = [("dial_dangerous_ussd", _("Can dial codes that divert calls or change the network"))]
        verbose_name = _("USSD request")
        verbose_name_plural = _("USSD requests")

    def __str__(self) -> str:
        return self.code

    @property
    def open(self) -> bool:
        return self.state in self.OPEN

    @property
    def told(self) -> str:
        """The number in the answer, as it is shown. Needs ``saved`` at hand."""
        return "" if self.value is None else spelled(self.value, self.saved.unit if self.saved else "")


class Balance(models.Model):
    """The last number that a saved code's answers told of a SIM."""

    sim = models.ForeignKey(Sim, models.CASCADE, related_name="balances")
    saved = models.ForeignKey(SavedCode, models.CASCADE, related_name="balances", verbose_name=_("saved code"))
    value = models.DecimalField(_("value"), max_digits=18, decimal_places=4)
    at = models.DateTimeField(_("at"), default=timezone.now)

    class Meta:
        ordering = ["sim", "saved"]
        constraints = [models.UniqueConstraint(fields=["sim", "saved"], name="one_balance_each")]
        verbose_name = _("balance")
        verbose_name_plural = _("balances")

    def __str__(self) -> str:
        return spelled(self.value, self.saved.unit)

    @property
    def low(self) -> bool:
        limit: Decimal | None = self.saved.warn_below
        return limit is not None and self.value < limit


class Reading(models.Model):
    """A balance as it was at a time."""

    balance = models.ForeignKey(Balance, models.CASCADE, related_name="readings", db_index=False)
    value = models.DecimalField(_("value"), max_digits=18, decimal_places=4)
    at = models.DateTimeField(_("at"))

    class Meta:
        indexes = [models.Index(fields=["balance", "at"], name="readings_of_a_balance")]
        verbose_name = _("reading of a balance")
        verbose_name_plural = _("readings of balances")

    def __str__(self) -> str:
        return spelled(self.value)
