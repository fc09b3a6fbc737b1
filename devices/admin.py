from __future__ import annotations

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from providers.admin import AccountFilter, Admin, Record

from . import limits
from .models import Balance, Device, Inventory, Reading, SavedCode, Sim, UssdRequest, UssdSchedule


@admin.register(Device)
class DeviceAdmin(Admin):
    list_display = (
        "name", "alias", "device_id", "account", "model", "enabled", "online", "primary", "last_seen", "gone_at"
    )  # fmt: skip
    list_filter = (AccountFilter, "enabled", "online")
    search_fields = ("device_id__startswith",)
    raw_id_fields = ("account",)
    readonly_fields = ("synced_at",)
    ordering = ("account", "name")
    sealed = ("account__credentials",)


@admin.register(Sim)
class SimAdmin(Admin):
    list_display = ("device", "slot", "label", "number", "per_hour", "per_day", "last_hour", "last_day")
    list_editable = ("per_hour", "per_day")
    list_select_related = ("device",)
    search_fields = ("device__device_id__startswith", "number__startswith")
    raw_id_fields = ("device",)
    readonly_fields = ("last_hour", "last_day")

    def save_model(self, request: HttpRequest, obj: Sim, form: ModelForm, change: bool) -> None:
        """Only what was typed: the log may have grown since the row was read."""
        obj.save(update_fields=form.changed_data if change else None)

    @admin.display(description=_("sent in the last hour"))
    def last_hour(self, sim: Sim) -> int:
        return limits.used(sim)["hour"]

    @admin.display(description=_("sent in the last 24 hours"))
    def last_day(self, sim: Sim) -> int:
        return limits.used(sim)["day"]


@admin.register(UssdRequest)
class UssdRequestAdmin(Record):
    list_display = ("sent_at", "account", "device_id", "sim", "code", "state", "response", "answered_at")
    list_filter = (AccountFilter, "state")
    raw_id_fields = ("created_by",)
    ordering = ("-pk",)
    sealed = ("account__credentials",)


@admin.register(Inventory)
class InventoryAdmin(Record):
    list_display = ("account", "synced_at", "next_at", "error")
    ordering = ("account",)
    sealed = ("account__credentials",)


@admin.register(SavedCode)
class SavedCodeAdmin(Record):
    """They are changed on their own page, which asks who may dial what."""

    list_display = ("name", "code", "sim", "operator", "pattern", "unit", "warn_below")
    list_select_related = ("sim__device",)
    search_fields = ("code__startswith",)


@admin.register(UssdSchedule)
class UssdScheduleAdmin(Record):
    list_display = ("saved", "sim", "every", "next_at", "enabled", "error")
    list_select_related = ("saved", "sim__device")
    list_filter = ("enabled",)


@admin.register(Balance)
class BalanceAdmin(Record):
    list_display = ("sim", "saved", "value", "at")
    list_select_related = ("saved", "sim__device")


@admin.register(Reading)
class ReadingAdmin(Record):
    list_display = ("balance", "value", "at")
    list_select_related = ("balance__saved",)
    ordering = ("-id",)
