"""Keys that programs use to send through smsdash."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from providers.encryption import EncryptedJSONField
from providers.models import ProviderAccount


class ApiKey(models.Model):
    """One key for all four wire APIs; found by its hash. ``account`` empty: the first enabled account."""

    name = models.CharField(_("name"), max_length=60)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    sealed = EncryptedJSONField(default=dict, editable=False, help_text="The key itself: it signs webhooks.")
    hint = models.CharField(_("ends in"), max_length=8, editable=False)
    account = models.ForeignKey(ProviderAccount, models.PROTECT, null=True, blank=True, verbose_name=_("account"))
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} (…{self.hint})"
