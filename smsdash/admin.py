from __future__ import annotations

from django.contrib import admin

from providers.admin import Record

from .models import Role


@admin.register(Role)
class RoleAdmin(Record):
    """To see which groups are the built-in ones. What they may do is changed in the groups themselves."""

    list_display = ("name", "group", "given")
    list_select_related = ("group",)
