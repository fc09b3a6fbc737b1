from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from providers.admin import Admin, Record

from .models import Answered, ApiKey


@admin.register(ApiKey)
class ApiKeyAdmin(Admin):
    """Keys can be named, moved and disabled here; they have pages of their own for the rest. None is made or shown."""

    list_display = ("name", "hint", "owner", "account", "route", "enabled", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("enabled",)
    search_fields = ("name", "hint")
    readonly_fields = (
        "hint", "scopes", "reads_all", "rates", "addresses", "credits", "expires_at", "revoked_at", "last_used_at",
        "last_used_from", "created_at",
    )  # fmt: skip
    fields = ("name", "owner", "account", "route", "enabled", *readonly_fields)
    raw_id_fields = ("owner", "account", "route")
    list_select_related = ("owner", "account", "route")
    sealed = ("sealed", "log", "account__credentials")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Only what was changed: at this moment the key may be used, spend its budget or be revoked."""
        obj.save(update_fields=form.changed_data)


@admin.register(Answered)
class AnsweredAdmin(Record):
    list_display = ("name", "key", "status", "at")
    fields = ("key", "name", "status", "at")
    list_select_related = ("key",)
    sealed = ("key__sealed", "key__log", "body")
