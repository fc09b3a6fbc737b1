from __future__ import annotations

from django.contrib import admin

from providers.admin import AccountFilter, Admin, Record

from .models import Device, Sim, UssdRequest


@admin.register(Device)
class DeviceAdmin(Admin):
    list_display = ("name", "device_id", "account", "model", "enabled", "online", "primary", "last_seen", "synced_at")
    list_filter = (AccountFilter, "enabled", "online")
    search_fields = ("device_id__startswith",)
    raw_id_fields = ("account",)
    readonly_fields = ("synced_at",)
    ordering = ("account", "name")
    sealed = ("account__credentials",)


@admin.register(Sim)
class SimAdmin(Admin):
    list_display = ("device", "slot", "label", "number")
    list_select_related = ("device",)
    raw_id_fields = ("device",)


@admin.register(UssdRequest)
class UssdRequestAdmin(Record):
    list_display = ("sent_at", "account", "device_id", "sim", "code", "response", "answered_at")
    list_filter = (AccountFilter,)
    ordering = ("-pk",)
    sealed = ("account__credentials",)
