"""What the imaginary carrier keeps.

Where a message is follows from the clock: its row holds the moments at which it will be sent and will end, so polling
is right without any process at work. ``next_at`` and ``step`` are for the agent that posts the reports.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from providers.types import Rate, Status

from . import ussd
from .outcomes import fate


class Account(models.Model):
    """A customer of the carrier: one key of one kind, made when the key is first used."""

    kind = models.CharField(max_length=40)
    key = models.CharField(max_length=100)
    secret = models.CharField(max_length=100, help_text="the password, where the wire carries one")
    name = models.CharField(max_length=100)
    sender = models.CharField(max_length=40)
    credits = models.BigIntegerField(null=True, blank=True, help_text="empty: unlimited")
    webhook_url = models.TextField(blank=True)
    webhook_secret = models.TextField(help_text="what posts to callbacks are signed with")
    rates = models.JSONField(default=list, blank=True, help_text='such as ["10/second"]; all hold at once')
    latency = models.FloatField(default=0.0, help_text="seconds each answer takes")
    refuses_whole = models.BooleanField(default=False, help_text="one bad number refuses the whole request")
    requests = models.BigIntegerField(default=0, help_text="admitted so far, where there are rates")
    limited = models.BigIntegerField(default=0, help_text="refused for going over a rate")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["kind", "key"], name="sandbox_account_key")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def windows(self) -> tuple[Rate, ...]:
        return tuple(Rate.parse(text) for text in self.rates)


class Hit(models.Model):
    """An admitted request. The n-th before this one tells whether n a window are used up."""

    account = models.ForeignKey(Account, models.CASCADE)
    number = models.BigIntegerField()
    at = models.FloatField(help_text="Unix seconds")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["account", "number"], name="sandbox_hit_number")]

    def __str__(self) -> str:
        return f"{self.number} at {self.at}"


class FirstTry(models.Model):
    """A number and text that were refused once and are accepted from now on."""

    account = models.ForeignKey(Account, models.CASCADE)
    digest = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["account", "digest"], name="sandbox_first_try")]

    def __str__(self) -> str:
        return self.digest


class Posting(models.Model):
    """Something that is told to the account's callback in ``delays`` steps. ``next_at`` None: nothing more to tell."""

    account = models.ForeignKey(Account, models.CASCADE)
    starts_at = models.DateTimeField()
    callback_url = models.TextField(blank=True, help_text="empty: the account's webhook_url")
    next_at = models.DateTimeField(null=True, blank=True)
    step = models.PositiveSmallIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        abstract = True

    @property
    def delays(self) -> tuple[float, ...]:
        """Seconds from ``starts_at`` to each thing there is to tell."""
        return (0.0,)

    @property
    def url(self) -> str:
        """Where to tell it. Needs ``account`` at hand."""
        return self.callback_url or self.account.webhook_url


class MessageQuerySet(models.QuerySet["Message"]):
    def visible(self, now: datetime) -> MessageQuerySet:
        """Without replies that are yet to be written."""
        return self.filter(Q(received=False) | Q(starts_at__lte=now))

    def with_status(self, status: Status, now: datetime) -> MessageQuerySet:
        return self.filter(_status_filter(status, now))


class Message(Posting):
    """A message that was taken, or (``received``) one that a person wrote to the account.

    ``sender`` of a received message is our number it was written to. ``taken``: how often it was handed over.
    """

    number = models.TextField()
    text = models.TextField()
    sender = models.TextField(blank=True)
    type = models.CharField(max_length=10, default="sms")
    attachments = models.JSONField(default=list, blank=True)
    device = models.CharField(max_length=20, blank=True)
    sim = models.PositiveSmallIntegerField(null=True, blank=True)
    group = models.CharField(max_length=60, blank=True)
    received = models.BooleanField(default=False)
    fate = models.CharField(max_length=3, blank=True, help_text="the digits that decide, see outcomes.FATES")
    taken = models.PositiveIntegerField(default=1)
    accepted_at = models.DateTimeField()
    schedule = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    final = models.CharField(max_length=10, default="delivered")

    objects = MessageQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["account", "group"], name="sandbox_message_group"),
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="sandbox_message_due"),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.text[:40]}"

    @property
    def delays(self) -> tuple[float, ...]:
        return (0.0,) if self.received else tuple(step.after for step in fate(self.fate).reports)

    def status(self, now: datetime) -> Status:
        if self.received:
            return Status.RECEIVED
        if now < self.starts_at:
            return Status.SCHEDULED
        if now < self.sent_at:
            return Status.QUEUED
        return Status(self.final) if self.ended_at and self.ended_at <= now else Status.SENT


def _status_filter(status: Status, now: datetime) -> Q:
    """``Message.status`` as a condition, for the database."""
    ours = Q(received=False)
    ended = Q(ended_at__lte=now, sent_at__lte=now)
    known = {
        Status.RECEIVED: Q(received=True),
        Status.SCHEDULED: ours & Q(starts_at__gt=now),
        Status.QUEUED: ours & Q(starts_at__lte=now, sent_at__gt=now),
        Status.SENT: ours & Q(sent_at__lte=now) & (Q(ended_at=None) | Q(ended_at__gt=now)),
    }
    return known.get(status, ours & ended & Q(final=status))


class Device(models.Model):
    """A phone of an account. ``number`` is its id on the wire, counted from 1 in each account."""

    account = models.ForeignKey(Account, models.CASCADE)
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    model = models.CharField(max_length=60)
    android = models.CharField(max_length=20)
    app = models.CharField(max_length=20)
    enabled = models.BooleanField(default=True)
    primary = models.BooleanField(default=False)
    silent = models.PositiveIntegerField(default=0, help_text="seconds since it was last seen; 0: it is online")

    class Meta:
        ordering: ClassVar = ["account", "number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["account", "number"], name="sandbox_device_number")]

    def __str__(self) -> str:
        return self.name


class Sim(models.Model):
    device = models.ForeignKey(Device, models.CASCADE, related_name="sims")
    slot = models.PositiveSmallIntegerField()
    label = models.CharField(max_length=60)
    number = models.CharField(max_length=20)

    class Meta:
        ordering: ClassVar = ["device", "slot"]

    def __str__(self) -> str:
        return f"{self.label} [{self.number}]"


class Contact(models.Model):
    """A number on a list that lives at the carrier."""

    account = models.ForeignKey(Account, models.CASCADE)
    list_id = models.TextField()
    number = models.TextField()
    name = models.TextField(blank=True)
    subscribed = models.BooleanField(default=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "list_id", "number"], name="sandbox_contact_number")
        ]

    def __str__(self) -> str:
        return self.number


class UssdRequest(Posting):
    """A dialled code. ``starts_at`` is when the network answers."""

    code = models.TextField()
    response = models.TextField()
    device = models.CharField(max_length=20)
    sim = models.PositiveSmallIntegerField(null=True, blank=True)
    sent_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = [F("id").desc()]
        indexes: ClassVar = [
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="sandbox_ussd_due")
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def delays(self) -> tuple[float, ...]:
        return tuple(n / 10 for n in range(ussd.answer(self.code).told))
