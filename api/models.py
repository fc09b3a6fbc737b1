"""Keys that programs use, the webhooks they are told by, and what was answered to a request that may come twice."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from messaging.models import Campaign, Route
from providers.encryption import EncryptedJSONField
from providers.models import ProviderAccount
from providers.types import Rate


class Scope(models.TextChoices):
    """What a key may do. ``admin``: all of it, and keys, webhooks and settings too."""

    SEND = "send", _("Send messages")
    READ = "read", _("Read messages, accounts and devices")
    CONTACTS = "contacts", _("Read and change contacts and lists")
    USSD = "ussd", _("Send and read USSD codes")
    ADMIN = "admin", _("Everything")


def all_scopes() -> list[str]:
    return [Scope.SEND.value, Scope.READ.value, Scope.CONTACTS.value, Scope.USSD.value]


class ApiKey(models.Model):
    """One key for all four wire APIs and our own; found by its hash.

    It sends through ``account`` or ``route``; both empty: through the first enabled account that it may use.
    ``accounts``: those it may use and whose received messages it may read; none: all. It reads the messages that it
    sent itself, and with ``reads_all`` every message of those accounts.
    ``addresses``: networks as ``203.0.113.0/24`` that it may be used from; empty: any. ``rates``: texts as
    ``100/minute``; empty: the installation's own limit. ``credits``: parts of messages that it may still send; null:
    as many as it likes. ``expires_at``: it is refused from then on; ``revoked_at``: for good.
    Rotating gives it a new key; the one before is taken until ``previous_until``. ``sealed``: ``{"key", "previous"}``.
    """

    name = models.CharField(_("name"), max_length=60)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="api_keys",
        verbose_name=_("owner"),
    )
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    sealed = EncryptedJSONField(default=dict, editable=False, help_text="The key itself: it signs webhooks.")
    hint = models.CharField(_("ends in"), max_length=8, editable=False)
    previous_hash = models.CharField(max_length=64, blank=True, editable=False)
    previous_secret_hash = models.CharField(max_length=64, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)
    account = models.ForeignKey(ProviderAccount, models.PROTECT, null=True, blank=True, verbose_name=_("account"))
    route = models.ForeignKey(Route, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("route"))
    accounts = models.ManyToManyField(
        ProviderAccount, blank=True, related_name="+", verbose_name=_("accounts that it may use")
    )
    scopes = models.JSONField(_("scopes"), default=all_scopes)
    reads_all = models.BooleanField(_("reads every message of its accounts"), default=False)
    addresses = models.JSONField(_("addresses"), default=list, blank=True)
    rates = models.JSONField(_("rate limits"), default=list, blank=True)
    log = models.TextField(default="", blank=True, editable=False)
    credits = models.BigIntegerField(_("credits"), null=True, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    last_used_from = models.GenericIPAddressField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    proof: tuple[str, tuple[Any, ...]] | None = None  # see recall.py

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [
            models.UniqueConstraint(fields=["previous_hash"], condition=~Q(previous_hash=""), name="one_key_each")
        ]

    def __str__(self) -> str:
        return f"{self.name} (…{self.hint})"

    def clean(self) -> None:
        if self.account_id and self.route_id:
            raise ValidationError(_("A key sends through an account or through a route. Choose one of them."))
        scopes = self.scopes if isinstance(self.scopes, list) else []
        if not scopes or not {*scopes} <= {*Scope.values}:
            raise ValidationError({"scopes": _("Choose what the key may do.")})
        self.addresses = networks(self.addresses)
        try:
            rates = [Rate.parse(str(text)) for text in self.rates]
        except ValueError as error:
            raise ValidationError({"rates": str(error)}) from error
        if len({rate.seconds for rate in rates}) < len(rates):
            raise ValidationError({"rates": _("Give one limit for each length of time.")})
        self.rates = [str(rate) for rate in rates]
        if self.credits is not None and self.credits < 0:
            raise ValidationError({"credits": _("A budget is 0 or more. Leave it empty for no limit.")})


def networks(texts: Iterable[str]) -> list[str]:
    """Addresses and networks, each once, as ``203.0.113.0/24`` or ``2001:db8::1/128``. Raises ValidationError."""
    found = []
    for text in texts:
        try:
            found.append(str(ip_network(str(text).strip(), strict=False)))
        except ValueError as error:
            sentence = _("“%(text)s” is no address or network. Write it as 203.0.113.7 or 2001:db8::/32.")
            raise ValidationError({"addresses": sentence % {"text": str(text)[:60]}}) from error
    return list(dict.fromkeys(found))


class Answered(models.Model):
    """The answer to a POST with an Idempotency-Key, stored with what the request did: it is given again, nothing is
    done again. ``asked``: a hash of the request; another request with the same key is refused."""

    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=255)
    asked = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=bytes)
    at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "name"], name="one_answer_each")]
        verbose_name = _("remembered answer")
        verbose_name_plural = _("remembered answers")

    def __str__(self) -> str:
        return f"{self.name}: {self.status}"


class Webhook(models.Model):
    """Where somebody wants to be told of events. With ``key``: of what that key may see, else of everything.

    ``for_campaigns``: made of the callback_url of requests; only of the campaigns that name it (Addressed).
    ``sealed``: ``{"secret": …}``, what its deliveries are signed with; one in the smsgateway format that belongs to a
    key is signed with that key, ``taken`` being the hash of the one that was taken last while there are two.
    ``failures``: in a row; ``hold_until``: it is left alone until then. ``paused_reason``
    not empty: nothing is delivered, it is kept.
    """

    class Format(models.TextChoices):
        SMSGATEWAY = "smsgateway", _("SMS Gateway: a form field, signed with X-SG-SIGNATURE")
        SMSPROVIDER = "smsprovider", _("SMS Provider: JSON, signed with X-SMSProvider-Signature")
        STANDARD = "standard", _("Standard Webhooks: JSON, signed with webhook-signature")

    name = models.CharField(_("name"), max_length=60, blank=True)
    key = models.ForeignKey(
        ApiKey, models.CASCADE, null=True, blank=True, related_name="webhooks", verbose_name=_("API key")
    )
    url = models.CharField(_("URL"), max_length=500)
    events = models.JSONField(_("events"), default=list)
    format = models.CharField(_("format"), max_length=20, choices=Format.choices, default=Format.STANDARD)
    sealed = EncryptedJSONField(default=dict, editable=False)
    for_campaigns = models.BooleanField(default=False, editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    failures = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    hold_until = models.DateTimeField(null=True, blank=True, editable=False)
    paused_reason = models.CharField(max_length=300, blank=True, editable=False)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        constraints = [
            models.UniqueConstraint(fields=["key", "url"], condition=Q(for_campaigns=True), name="one_callback_each")
        ]

    def __str__(self) -> str:
        return self.name or self.url


class Addressed(models.Model):
    """The webhook that a request named for its own messages (callback_url)."""

    campaign = models.OneToOneField(Campaign, models.CASCADE, primary_key=True, related_name="+")
    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="+")

    class Meta:
        verbose_name = _("webhook of a campaign")
        verbose_name_plural = _("webhooks of campaigns")

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.webhook_id}"


class Delivery(models.Model):
    """One event for one webhook. Those of one ``subject`` (``message:12``) go in the order of their ids, each once the
    one before is over. ``body``: as it is posted; it is signed anew for each try."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Delivered")
        FAILED = "failed", _("Given up")

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries", db_index=False)
    event = models.CharField(_("event"), max_length=30)
    subject = models.CharField(max_length=40, blank=True)
    body = models.TextField()
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    replay_of = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+", db_index=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [
            models.Index(fields=["webhook", "id"], name="delivery_by_webhook"),
            models.Index(fields=["webhook", "next_at", "id"], name="delivery_due", condition=Q(state="waiting")),
            models.Index(fields=["webhook", "subject", "id"], name="delivery_in_order", condition=Q(state="waiting")),
            models.Index(fields=["created_at"], name="delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.subject}"


class DeliveryTry(models.Model):
    """One post of a delivery: the headers as sent (signatures too: they are no secrets), and what was answered."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="tries")
    at = models.DateTimeField(default=timezone.now)
    headers = models.JSONField(default=dict)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True, help_text="Its first 2,000 characters.")
    milliseconds = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = _("delivery try")
        verbose_name_plural = _("delivery tries")

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.status}"
