"""Conversations, how far each operator has read them, and what answers by itself."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from providers.models import ProviderAccount


class Conversation(models.Model):
    """What a number and we wrote to each other, whatever the account. It begins with a message that we received.

    ``last``: the id of the newest message in it, ``heard``: of the newest received one (campaigns are shown in the
    thread, but do not move ``last``). ``account``, ``device``, ``sim`` and ``to`` (our number): where that one came
    in, and so how a reply goes out. ``snoozed_until`` in the future: out of sight until then. ``flag``: why a person
    should look at it. ``answered``: the automatic answers of late, as providers/pacing.py writes it.
    """

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        CLOSED = "closed", _("Closed")

    class Flag(models.TextChoices):
        NEAR_MISS = "near_miss", _("They may want to opt out. Read what they wrote, and opt them out if so.")
        LOOP = "loop", _("Automatic answers stopped: too many in a short time. A machine may be answering.")

    number = models.CharField(_("number"), max_length=16, unique=True)
    last = models.BigIntegerField(default=0)
    last_at = models.DateTimeField(_("last message"), default=timezone.now)
    preview = models.CharField(_("text"), max_length=160, blank=True)
    outgoing = models.BooleanField(default=False)
    heard = models.BigIntegerField(default=0)
    account = models.ForeignKey(ProviderAccount, models.SET_NULL, null=True, blank=True, related_name="+")
    device = models.CharField(max_length=40, blank=True)
    sim = models.PositiveSmallIntegerField(null=True, blank=True)
    to = models.CharField(max_length=20, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.OPEN)
    snoozed_until = models.DateTimeField(_("snoozed until"), null=True, blank=True)
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("assigned to"),
    )
    flag = models.CharField(max_length=20, choices=Flag.choices, blank=True)
    answered = models.TextField(default="", blank=True, editable=False)
    version = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        indexes = [
            models.Index(fields=["state", "last"], name="conversation_by_state"),
            models.Index(fields=["last"], name="conversation_by_last"),
            models.Index(
                fields=["snoozed_until"], name="conversation_snoozed", condition=Q(snoozed_until__isnull=False)
            ),
            models.Index(fields=["flag"], name="conversation_flagged", condition=~Q(flag="")),
        ]

    def __str__(self) -> str:
        return self.number


class ReadMark(models.Model):
    """How far somebody has read: received messages up to the id ``upto``, in a conversation or (None) in all."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    conversation = models.ForeignKey(Conversation, models.CASCADE, null=True, blank=True, related_name="marks")
    upto = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "conversation"], name="one_mark_each"),
            models.UniqueConstraint(fields=["user"], condition=Q(conversation=None), name="one_mark_of_all"),
        ]
        verbose_name = _("read mark")
        verbose_name_plural = _("read marks")

    def __str__(self) -> str:
        return f"{self.user_id}: {self.upto}"


class AutoReply(models.Model):
    """A rule: what is answered to a received message. The first rule in the order of ``position`` that fits answers.

    ``words``: one a line, in any case of letters; with ``match`` ``any`` they do not count. ``account``, ``device``
    and ``sim``: where the message came in (None and empty: anywhere). ``hours`` (see providers/hours.py) by the clock
    of ``zone``: our office hours, outside of which the rule holds; empty: it always holds. ``text`` may hold merge
    fields.
    """

    class Match(models.TextChoices):
        ANY = "any", _("is any message")
        EXACT = "exact", _("is exactly one of the words")
        STARTS = "starts", _("starts with one of the words")
        CONTAINS = "contains", _("contains one of the words")

    name = models.CharField(_("name"), max_length=60, unique=True)
    enabled = models.BooleanField(_("switched on"), default=True)
    position = models.PositiveSmallIntegerField(_("order"), default=0)
    match = models.CharField(_("the message"), max_length=10, choices=Match.choices, default=Match.EXACT)
    words = models.TextField(_("words"), blank=True)
    account = models.ForeignKey(ProviderAccount, models.CASCADE, null=True, blank=True, related_name="+")
    device = models.CharField(max_length=40, blank=True)
    sim = models.PositiveSmallIntegerField(null=True, blank=True)
    hours = models.CharField(_("office hours"), max_length=200, blank=True)
    zone = models.CharField(_("time zone"), max_length=40, blank=True)
    text = models.TextField(_("answer"))
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["position", "id"]
        verbose_name = _("auto-reply")
        verbose_name_plural = _("auto-replies")

    def __str__(self) -> str:
        return self.name


class Answer(models.Model):
    """An automatic answer to a received message (its id). ``rule`` None: to STOP, START or HELP.

    ``confirms``: it tells somebody that they opted out, and so may reach them all the same.
    """

    campaign = models.OneToOneField("messaging.Campaign", models.CASCADE, primary_key=True, related_name="+")
    heard = models.BigIntegerField()
    rule = models.ForeignKey(AutoReply, models.SET_NULL, null=True, blank=True, related_name="+")
    confirms = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("automatic answer")
        verbose_name_plural = _("automatic answers")

    def __str__(self) -> str:
        return str(self.heard)


class Listening(models.Model):
    """When an account is asked for received messages (``next_at``), and from when on (``since``).

    ``pushed_at``: when its callback last brought one; as long as that works, asking is only a net below it.
    """

    account = models.OneToOneField(ProviderAccount, models.CASCADE, primary_key=True, related_name="listening")
    next_at = models.DateTimeField(default=timezone.now, db_index=True)
    since = models.DateTimeField(default=timezone.now)
    pushed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("asking for messages")
        verbose_name_plural = _("asking for messages")

    def __str__(self) -> str:
        return str(self.account_id)


class Posted(models.Model):
    """What a provider posted to a callback, as it came: stored before it is answered (callbacks.py), worked on after
    (posted.py).

    ``urgent``: somebody wrote or answered, which goes before all reports. ``headers``: those that reading it needs.
    ``tries``: how often working on it broke off, last with ``error``; ``next_at``: when it is tried again. The database
    does not look after ``account``: each row would lock it.
    """

    account = models.ForeignKey(
        ProviderAccount,
        models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
        verbose_name=_("account"),
    )
    urgent = models.BooleanField(default=False)
    at = models.DateTimeField(default=timezone.now)
    method = models.CharField(max_length=10)
    query = models.JSONField(default=list)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=bytes)
    tries = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = _("post to a callback")
        verbose_name_plural = _("posts to callbacks")
        indexes = [models.Index(fields=["account", "urgent", "id"], name="posted_in_order")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.at:%Y-%m-%d %H:%M:%S}"


class Attachment(models.Model):
    """A link of an MMS, out or in, looked at by the server: whether it may be handed on, and what to show of it.

    ``link_hash``: SHA-256 of the link. ``type`` and ``size`` (bytes) as the server of the link said and showed.
    ``thumbnail``: a small picture drawn anew by us, empty where there is none.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Not looked at yet")
        GOOD = "good", _("Good")
        REFUSED = "refused", _("Refused")

    link = models.TextField(_("link"))
    link_hash = models.CharField(max_length=64, unique=True, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    type = models.CharField(_("type"), max_length=100, blank=True)
    size = models.BigIntegerField(_("size"), null=True, blank=True)
    thumbnail = models.BinaryField(default=bytes)
    tries = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now, db_index=True)
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")

    def __str__(self) -> str:
        return self.link
