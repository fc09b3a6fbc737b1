from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from providers.admin import Admin, Record

from .models import Addressed, Answered, ApiKey, Delivery, DeliveryTry, Webhook


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


@admin.register(Webhook)
class WebhookAdmin(Record):
    """To be looked at: the page of webhooks keeps what is written for them in step."""

    list_display = ("url", "name", "key", "format", "enabled", "failures", "paused_reason", "created_at")
    fields = (*list_display, "events", "for_campaigns", "failing_since", "hold_until", "paused_at", "created_by")
    list_filter = ("format", "enabled", "for_campaigns")
    search_fields = ("name", "url")
    ordering = ("-id",)
    list_select_related = ("key",)
    sealed = ("sealed", "key__sealed", "key__log")


@admin.register(Addressed)
class AddressedAdmin(Record):
    list_display = ("campaign_id", "webhook_id")
    fields = ("campaign_id", "webhook_id")
    readonly_fields = fields
    ordering = ("-campaign_id",)


@admin.register(Delivery)
class DeliveryAdmin(Record):
    list_display = ("id", "webhook_id", "event", "subject", "state", "attempts", "next_at", "created_at")
    fields = ("webhook_id", *list_display[2:], "done_at", "body")
    readonly_fields = fields
    list_filter = ("state",)
    search_fields = ("id__exact",)
    ordering = ("-id",)


@admin.register(DeliveryTry)
class DeliveryTryAdmin(Record):
    list_display = ("id", "delivery_id", "at", "status", "milliseconds", "error")
    fields = (*list_display[1:], "headers", "answer")
    readonly_fields = fields
    search_fields = ("delivery__exact",)
    ordering = ("-id",)
