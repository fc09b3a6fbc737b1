"""Phones and SIMs behind an account, and the USSD codes dialled on them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from providers.models import ProviderAccount


class Device(models.Model):
    """A phone as the account's provider knows it; ``device_id`` is the provider's."""

    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="devices")
    device_id = models.CharField(_("device ID"), max_length=40)
    name = models.CharField(_("name"), max_length=100, blank=True)
    model = models.CharField(_("model"), max_length=100, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    online = models.BooleanField(_("online"), default=True)
    primary = models.BooleanField(_("primary"), default=False)
    last_seen = models.DateTimeField(_("last seen"), null=True, blank=True)
    synced_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["account", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "device_id"], name="one_row_per_device")]
        verbose_name = _("device")
        verbose_name_plural = _("devices")

    def __str__(self) -> str:
        return self.name or self.device_id


class Sim(models.Model):
    """``slot`` counts from 0. ``per_hour`` and ``per_day`` None: no limit. ``log``: what was used lately, as
    providers/pacing.py writes it."""

    device = models.ForeignKey(Device, models.CASCADE, related_name="sims")
    slot = models.PositiveSmallIntegerField(_("slot"))
    label = models.CharField(_("label"), max_length=100, blank=True)
    number = models.CharField(_("number"), max_length=16, blank=True)
    per_hour = models.PositiveIntegerField(_("messages an hour"), null=True, blank=True)
    per_day = models.PositiveIntegerField(_("messages a day"), null=True, blank=True)
    log = models.TextField(default="", blank=True, editable=False)

    class Meta:
        ordering = ["device", "slot"]
        constraints = [models.UniqueConstraint(fields=["device", "slot"], name="one_row_per_slot")]
        verbose_name = _("SIM")
        verbose_name_plural = _("SIMs")

    def __str__(self) -> str:
        return f"{self.device} · {self.label or self.slot}"


class UssdRequest(models.Model):
    """A code dialled on a SIM; ``response`` null until the network answers."""

    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="ussd_requests")
    device_id = models.CharField(max_length=40)
    sim = models.PositiveSmallIntegerField(null=True, blank=True)
    code = models.CharField(_("code"), max_length=182)
    response = models.TextField(_("response"), null=True, blank=True)  # noqa: DJ001 - not answered is not ''
    provider_id = models.CharField(max_length=64, blank=True)
    sent_at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["account", "provider_id"])]
        verbose_name = _("USSD request")
        verbose_name_plural = _("USSD requests")

    def __str__(self) -> str:
        return self.code
