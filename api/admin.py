from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from providers.admin import Admin

from .models import ApiKey


@admin.register(ApiKey)
class ApiKeyAdmin(Admin):
    """Keys can be named, moved and disabled here. None is made or shown: create_api_key prints it once."""

    list_display = ("name", "hint", "account", "route", "enabled", "created_at")
    list_filter = ("enabled",)
    fields = ("name", "account", "route", "enabled", "hint", "created_at")
    readonly_fields = ("hint", "created_at")
    raw_id_fields = ("account", "route")
    list_select_related = ("account", "route")
    sealed = ("sealed", "account__credentials")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
