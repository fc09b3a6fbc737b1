"""Campaigns, messages, what came back about them, and the marks by which workers share them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from contacts.models import ContactList
from providers.models import ProviderAccount
from providers.types import MessageType, Status

from .inbox_models import Answer as Answer
from .inbox_models import Attachment as Attachment
from .inbox_models import AutoReply as AutoReply
from .inbox_models import Conversation as Conversation
from .inbox_models import Listening as Listening
from .inbox_models import Posted as Posted
from .inbox_models import ReadMark as ReadMark
from .wire_ids import WireId

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


class Route(models.Model):
    """Accounts that stand in for each other. Ordered: the first that can send. Weighted: each gets its share."""

    ORDERED, WEIGHTED = "ordered", "weighted"

    name = models.CharField(_("name"), max_length=60, unique=True)
    strategy = models.CharField(
        _("strategy"),
        max_length=10,
        choices=[(ORDERED, _("In order: the first account that can send")), (WEIGHTED, _("By weight"))],
        default=ORDERED,
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = _("route")
        verbose_name_plural = _("routes")

    def __str__(self) -> str:
        return self.name


class RouteMember(models.Model):
    """An account on a route. ``prefixes``: beginnings of E.164 numbers, as ``+44 +353``; empty: every number."""

    route = models.ForeignKey(Route, models.CASCADE, related_name="members")
    account = models.ForeignKey(ProviderAccount, models.PROTECT, related_name="route_members")
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    weight = models.PositiveSmallIntegerField(_("weight"), default=1)
    prefixes = models.CharField(_("numbers that begin with"), max_length=300, blank=True)

    class Meta:
        ordering = ["route", "position", "id"]
        constraints = [models.UniqueConstraint(fields=["route", "account"], name="once_on_a_route")]
        verbose_name = _("account on a route")
        verbose_name_plural = _("accounts on a route")

    def __str__(self) -> str:
        return f"{self.route}: {self.account}"


class Template(models.Model):
    """A text that is written often. It may hold merge fields; see merging.py."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    text = models.TextField(_("text"))
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name = _("template")
        verbose_name_plural = _("templates")

    def __str__(self) -> str:
        return self.name


# What an operator calls a campaign: more than a text to one number. Of the campaign's own columns, so that an index can
# have it: whoever writes to a list has a ``cursor``, or is not ``complete`` yet.
IS_CAMPAIGN = ~Q(name="") | ~Q(total=1) | Q(cursor__gt=0) | Q(complete=False)


class Campaign(models.Model):
    """One 'Send': a text to some numbers and lists through an account, or through a route (``account`` is then its
    first).

    ``devices``: which phones and SIMs, as devices/targets.py writes it. ``hours`` (see providers/hours.py) by the
    clock of ``zone``, or of each recipient with ``by_recipient``. ``finish_by``: when the last should have left.
    ``expires_at``: what has not left by then does not go any more.

    ``recipients`` are the pasted E.164 numbers. Rows are made first of these, from ``expanded`` on, then of the
    members of ``lists`` in the order of their ids, from the id ``cursor`` on (0: there are no lists); so an expansion
    that broke off goes on where it was. ``total``: recipients known so far, those ``skipped`` (how many, by reason)
    among them. ``complete``: nothing is left to be done in the background; every change of ``state`` begins it anew.
    ``failed_in_a_row``: messages that the provider refused since it last took one; ``undelivered_in_a_row``: reports
    of a failure since the last one of a delivery.

    ``merges``: the text holds merge fields. ``token`` comes with the form: the same form twice is one campaign.
    ``client``: the id of the API key that submitted it, as a number: this room does not know keys. Null: a person did.
    """

    class State(models.TextChoices):
        APPROVAL = "approval", _("Waits for approval")
        SENDING = "sending", _("Sending")
        PAUSED = "paused", _("Paused")
        CANCELED = "canceled", _("Canceled")

    token = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.SENDING)
    state_reason = models.CharField(max_length=300, blank=True)
    state_by = models.CharField(max_length=150, blank=True)
    state_at = models.DateTimeField(null=True, blank=True)
    account = models.ForeignKey(ProviderAccount, models.PROTECT, related_name="campaigns", verbose_name=_("account"))
    route = models.ForeignKey(
        Route, models.PROTECT, null=True, blank=True, related_name="campaigns", verbose_name=_("route")
    )
    text = models.TextField(_("text"))
    sender = models.CharField(_("sender ID"), max_length=20, blank=True)
    type = models.CharField(max_length=3, default=MessageType.SMS.value)
    attachments = models.JSONField(default=list, blank=True)
    priority = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    zone = models.CharField(_("time zone"), max_length=40, blank=True)
    hours = models.CharField(_("sending hours"), max_length=200, blank=True)
    by_recipient = models.BooleanField(_("in each recipient's time zone"), default=False)
    finish_by = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    devices = models.JSONField(default=dict, blank=True)
    recipients = models.JSONField(default=list)
    lists = models.ManyToManyField(ContactList, related_name="campaigns", blank=True, verbose_name=_("lists"))
    merges = models.BooleanField(default=False)
    total = models.PositiveIntegerField(_("recipients"), default=0)
    expanded = models.PositiveIntegerField(default=0)
    cursor = models.BigIntegerField(default=0)
    complete = models.BooleanField(default=False)
    skipped = models.JSONField(default=dict, blank=True)
    failed_in_a_row = models.PositiveIntegerField(default=0)
    undelivered_in_a_row = models.PositiveIntegerField(default=0)
    client = models.BigIntegerField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        permissions = [("approve_campaign", _("Can approve campaigns"))]
        indexes = [
            models.Index(fields=["created_at"], condition=Q(complete=False), name="campaign_open"),
            models.Index(fields=["id"], condition=IS_CAMPAIGN, name="campaign_shown"),
            models.Index(fields=["finish_by"], name="campaign_deadline", condition=Q(finish_by__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name or self.text[:40]


class Message(models.Model):
    """One text to or from one number. Its status changes in ledger.py and nowhere else.

    Times: ``due_at`` when it may go (again); ``sent_at`` when the provider took it (for a received message: when
    it reached the provider); ``done_at`` when its end was known; ``expires_at`` from when on it does not go any more.
    While a request is under way its messages are listed in an open Exchange; the status says ``sending`` once that
    takes longer than a moment. ``exchange`` is the id of the last one that is over.
    ``device`` and ``sim``: the phone it is meant for, then the one that sent it.
    ``poll_at`` null: its status is not asked for. ``batch_limit``: recipients that may share its next request,
    lowered when a request was refused as a whole. ``client``: as in its campaign.
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
    exchange = models.BigIntegerField(null=True, blank=True)
    route = models.ForeignKey(Route, models.PROTECT, null=True, blank=True, related_name="+", db_index=False)
    resend_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="resends", db_index=False
    )
    expires_at = models.DateTimeField(null=True, blank=True)
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
    client = models.BigIntegerField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    done_at = models.DateTimeField(_("done"), null=True, blank=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        indexes = [
            models.Index(fields=["account", "status", "id"], name="message_by_account_status"),
            models.Index(fields=["campaign", "id"], name="message_by_campaign"),
            models.Index(fields=["number", "id"], name="message_by_number", opclasses=["varchar_pattern_ops", ""]),
            models.Index("account", WireId("provider_id"), name="message_by_wire_id", condition=~Q(provider_id="")),
            models.Index(
                fields=["account", "priority", "due_at", "id"], name="message_queue", condition=Q(status="queued")
            ),
            models.Index(fields=["due_at"], name="message_scheduled", condition=Q(status="scheduled")),
            models.Index(
                fields=["expires_at"],
                name="message_expiry",
                condition=Q(status__in=("scheduled", "queued"), expires_at__isnull=False),
            ),
            models.Index(
                fields=["account", "route", "due_at"],
                name="message_by_route",
                condition=Q(status="queued", route__isnull=False),
            ),
            models.Index(fields=["resend_of"], name="message_resends", condition=Q(resend_of__isnull=False)),
            models.Index(fields=["client", "id"], name="message_by_client", condition=Q(client__isnull=False)),
            models.Index(fields=["account", "poll_at", "id"], name="message_polls", condition=Q(poll_at__isnull=False)),
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
        verbose_name = _("kept count")
        verbose_name_plural = _("kept counts")
        indexes = [models.Index(fields=["hour"], name="tally_by_hour", condition=Q(hour__gt=0))]

    def __str__(self) -> str:
        return f"{self.status}: {self.n}"


class Attempt(models.Model):
    """A hand-over that did not settle the message: it went back to the queue, or is uncertain.

    ``maybe_taken``: nobody could tell, so no other account may carry the message.
    """

    message = models.ForeignKey(Message, models.CASCADE, related_name="earlier")
    exchange = models.BigIntegerField(null=True, blank=True)
    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="+", db_index=False)
    at = models.DateTimeField(default=timezone.now)
    error_code = models.CharField(max_length=64, blank=True)
    error_text = models.CharField(max_length=300, blank=True)
    maybe_taken = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return f"{self.message_id}: {self.error_code}"


class BulkAction(models.Model):
    """Something to do with all messages of a filter of the log, done in the background, newest first.

    ``below``: only messages with smaller ids are left to look at; what is written after the click is not meant.
    """

    action = models.CharField(max_length=20)
    filters = models.TextField(blank=True, help_text="The log's query")
    values = models.JSONField(default=dict, blank=True)
    below = models.BigIntegerField()
    done = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("bulk action")
        verbose_name_plural = _("bulk actions")
        indexes = [models.Index(fields=["created_at"], name="bulk_open", condition=Q(finished_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.action}: {self.done}"


class Lease(models.Model):
    """Who drains an account, and until when (the database's clock).

    ``epoch`` grows when anybody else takes messages out of the account's queue or changes them: what the drain
    has read ahead is then void. See gate.py.
    """

    account = models.OneToOneField(ProviderAccount, models.CASCADE, primary_key=True, related_name="lease")
    holder = models.CharField(max_length=80, blank=True)
    until = models.DateTimeField(default=timezone.now)
    epoch = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("lease")
        verbose_name_plural = _("leases")

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
            models.Index("account", WireId("provider_id"), name="report_by_wire_id", condition=Q(message__isnull=True)),
            models.Index(fields=["-id"], name="report_unmatched", condition=Q(message__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.provider_id}: {self.status}"


class Worker(models.Model):
    """A worker cluster, and when it last got anything done: a heartbeat that only work can make."""

    name = models.CharField(max_length=120, primary_key=True)
    started_at = models.DateTimeField(default=timezone.now)
    progress_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.name
