"""People, the lists they are on, and what they agreed to."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Contact(models.Model):
    """A person by phone number. ``opted_out_at`` set: nobody writes to them, whatever any list says."""

    number = models.CharField(_("number"), max_length=16, unique=True, help_text="E.164, with +")
    name = models.CharField(_("name"), max_length=100, blank=True)
    fields = models.JSONField(_("fields"), default=dict, blank=True)
    opted_out_at = models.DateTimeField(_("opted out"), null=True, blank=True)
    opted_out_by = models.CharField(_("opted out by"), max_length=100, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")

    def __str__(self) -> str:
        return self.name or self.number


class ContactList(models.Model):
    name = models.CharField(_("name"), max_length=100, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    contacts: models.ManyToManyField[Contact, Subscription] = models.ManyToManyField(
        Contact, through="Subscription", related_name="lists"
    )

    class Meta:
        ordering = ["name"]
        verbose_name = _("contact list")
        verbose_name_plural = _("contact lists")

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """A contact's place on a list. ``unsubscribed_at`` set: on the list, but not written to through it."""

    contact_list = models.ForeignKey(ContactList, models.CASCADE, related_name="subscriptions")
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="subscriptions")
    unsubscribed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["contact_list", "contact"], name="once_per_list")]
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")

    def __str__(self) -> str:
        return f"{self.contact_id} on {self.contact_list_id}"
