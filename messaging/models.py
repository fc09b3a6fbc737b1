"""Campaigns, messages, what came back about them, and the marks by which workers share them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from providers.models import ProviderAccount
from providers.types import MessageType, Status

STATUSES = [
    (Status.SCHEDULED.value, _("Scheduled")),
    (Status.QUEUED.value, _("Queued")),
    (Status.SENDING.value, _("Sending")),
    (Status.SENT.value, _("Sent")),
    (Status.DELIVERED.value, _("Delivered")),
    (Status.FAILED.value, _("Failed")),
    (Status.EXPIRED.value, _("Expired")),
    (Status.CANCELED.value, _("Canceled")),
    (Status.UNCERTAIN.value, _("Uncertain")),
    (Status.RECEIVED.value, _("Received")),
]


class Campaign(models.Model):
    """One 'Send': a text to some numbers through an account.

    ``recipients`` is the list of E.164 numbers; rows are made of it from ``expanded`` on, so an expansion that
    broke off goes on where it was. ``token`` comes with the form: the same form twice is one campaign.
    """

    token = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100, blank=True)
    account = models.ForeignKey(ProviderAccount, models.PROTECT, related_name="campaigns", verbose_name=_("account"))
    text = models.TextField(_("text"))
    sender = models.CharField(_("sender ID"), max_length=20, blank=True)
    type = models.CharField(max_length=3, default=MessageType.SMS.value)
    attachments = models.JSONField(default=list, blank=True)
    priority = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    recipients = models.JSONField(default=list)
    total = models.PositiveIntegerField(_("recipients"), default=0)
    expanded = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        indexes = [models.Index(fields=["created_at"], condition=~Q(total=models.F("expanded")), name="campaign_open")]

    def __str__(self) -> str:
        return self.name or self.text[:40]


class Message(models.Model):
    """One text to or from one number. Its status changes in ledger.py and nowhere else.

    Times: ``due_at`` when it may go (again); ``sent_at`` when the provider took it (for a received message: when
    it reached the provider); ``done_at`` when its end was known. ``exchange`` is the id of its last Exchange.
    ``poll_at`` null: its status is not asked for. ``batch_limit``: recipients that may share its next request,
    lowered when a request was refused as a whole.
    """

    account = models.ForeignKey(ProviderAccount, models.PROTECT, related_name="messages", db_index=False)
    campaign = models.ForeignKey(
        Campaign, models.PROTECT, null=True, blank=True, related_name="messages", db_index=False
    )
    number = models.CharField(_("number"), max_length=16)
    text = models.TextField(_("text"))
    sender = models.CharField(_("sender ID"), max_length=20, blank=True)
    type = models.CharField(max_length=3, default=MessageType.SMS.value)
    attachments = models.JSONField(default=list, blank=True)
    segments = models.PositiveSmallIntegerField(_("parts"), default=1)
    status = models.CharField(_("status"), max_length=10, choices=STATUSES, default=Status.QUEUED.value)
    priority = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    batch_limit = models.PositiveSmallIntegerField(null=True, blank=True)
    exchange = models.UUIDField(null=True, blank=True)
    provider_id = models.CharField(_("provider's ID"), max_length=100, blank=True)
    provider_group = models.CharField(max_length=100, blank=True)
    provider_status = models.CharField(_("provider's status"), max_length=40, blank=True)
    device = models.CharField(_("device"), max_length=40, blank=True)
    sim = models.PositiveSmallIntegerField(_("SIM slot"), null=True, blank=True)
    error_code = models.CharField(_("error code"), max_length=64, blank=True)
    error_text = models.CharField(_("error"), max_length=300, blank=True)
    cost = models.DecimalField(_("cost"), max_digits=12, decimal_places=5, null=True, blank=True)
    polls = models.PositiveSmallIntegerField(default=0)
    poll_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    done_at = models.DateTimeField(_("done"), null=True, blank=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        indexes = [
            models.Index(fields=["status", "-id"], name="message_by_status"),
            models.Index(fields=["account", "-id"], name="message_by_account"),
            models.Index(fields=["account", "status", "-id"], name="message_by_account_status"),
            models.Index(fields=["campaign", "-id"], name="message_by_campaign"),
            models.Index(fields=["number", "-id"], name="message_by_number", opclasses=["varchar_pattern_ops", ""]),
            models.Index(
                fields=["account", "provider_id"], name="message_by_provider_id", condition=~Q(provider_id="")
            ),
            models.Index(
                fields=["account", "priority", "due_at", "id"], name="message_queue", condition=Q(status="queued")
            ),
            models.Index(fields=["due_at"], name="message_scheduled", condition=Q(status="scheduled")),
            models.Index(fields=["account"], name="message_sending", condition=Q(status="sending")),
            models.Index(fields=["account", "poll_at"], name="message_polls", condition=Q(poll_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.number} ({self.status})"


class Tally(models.Model):
    """Kept counts: messages of an account or campaign (0: any) created in an hour (0: ever) in a status.

    ``version`` grows with every change, so a page can ask cheaply whether anything is new.
    """

    account_id = models.BigIntegerField(default=0)
    campaign_id = models.BigIntegerField(default=0)
    hour = models.IntegerField(default=0, help_text="Hours since 1970-01-01 UTC")
    status = models.CharField(max_length=10)
    n = models.BigIntegerField(default=0)
    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account_id", "campaign_id", "hour", "status"], name="one_tally_each")
        ]
        indexes = [models.Index(fields=["hour"], name="tally_by_hour", condition=Q(hour__gt=0))]

    def __str__(self) -> str:
        return f"{self.status}: {self.n}"


class Lease(models.Model):
    """Who drains an account, and until when (the database's clock)."""

    account = models.OneToOneField(ProviderAccount, models.CASCADE, primary_key=True, related_name="lease")
    holder = models.CharField(max_length=80, blank=True)
    until = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.account_id}: {self.holder or '-'}"


class DeliveryReport(models.Model):
    """A report as it came. ``message`` null: it matched nothing yet; it is replayed when its message appears."""

    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="reports")
    message = models.ForeignKey(Message, models.CASCADE, null=True, blank=True, related_name="reports")
    provider_id = models.CharField(max_length=100)
    number = models.CharField(max_length=20, blank=True)
    status = models.CharField(max_length=10)
    raw_status = models.CharField(max_length=40, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_text = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(null=True, blank=True, help_text="By the provider's clock")
    seen_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("delivery report")
        verbose_name_plural = _("delivery reports")
        indexes = [
            models.Index(fields=["account", "provider_id"], name="report_unmatched", condition=Q(message__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.provider_id}: {self.status}"


class Worker(models.Model):
    """A worker cluster, and when it last got anything done: a heartbeat that only work can make."""

    name = models.CharField(max_length=120, primary_key=True)
    started_at = models.DateTimeField(default=timezone.now)
    progress_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name
