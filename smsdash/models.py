"""What was given to the built-in roles so far."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.Model):
    """A built-in role. ``group``: what people are put into, under whatever name it has by now; null: somebody deleted
    it. ``given``: the permissions that the role ever got (``messaging.view_message``); what was taken away since then
    stays away."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    group = models.OneToOneField(
        Group, models.SET_NULL, null=True, blank=True, related_name="role", verbose_name=_("group")
    )
    given = models.JSONField(_("given"), default=list)

    class Meta:
        ordering = ["pk"]
        verbose_name = _("built-in role")
        verbose_name_plural = _("built-in roles")

    def __str__(self) -> str:
        return self.name
