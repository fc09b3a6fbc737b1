"""Keys that programs use to send through smsdash."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from messaging.models import Route
from providers.encryption import EncryptedJSONField
from providers.models import ProviderAccount


class ApiKey(models.Model):
    """One key for all four wire APIs; found by its hash. It sends through ``account`` or ``route``; both empty:
    through the first enabled account."""

    name = models.CharField(_("name"), max_length=60)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    sealed = EncryptedJSONField(default=dict, editable=False, help_text="The key itself: it signs webhooks.")
    hint = models.CharField(_("ends in"), max_length=8, editable=False)
    account = models.ForeignKey(ProviderAccount, models.PROTECT, null=True, blank=True, verbose_name=_("account"))
    route = models.ForeignKey(Route, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("route"))
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} (…{self.hint})"

    def clean(self) -> None:
        if self.account_id and self.route_id:
            raise ValidationError(_("A key sends through an account or through a route. Choose one of them."))
