from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from .models import Account, Contact, Device, Message, Sim, UssdRequest


@admin.register(Account)
class AccountAdmin(admin.ModelAdmin):
    list_display = ("kind", "name", "credits", "rates", "latency", "limited")
    list_filter = ("kind",)
    exclude = ("key", "secret", "webhook_secret")
    readonly_fields = ("kind", "requests", "limited")

    def has_add_permission(self, request: object) -> bool:
        """Accounts are made when a key is first used."""
        return False


@admin.register(Message)
class MessageAdmin(admin.ModelAdmin):
    list_display = ("id", "number", "text", "fate", "received", "taken", "accepted_at", "next_at")
    list_filter = ("received", "fate")
    search_fields = ("number",)
    raw_id_fields = ("account",)
    show_full_result_count = False


@admin.register(UssdRequest)
class UssdRequestAdmin(admin.ModelAdmin):
    list_display = ("id", "code", "device", "sim", "sent_at")
    raw_id_fields = ("account",)


@admin.register(Contact)
class ContactAdmin(admin.ModelAdmin):
    list_display = ("number", "name", "list_id", "subscribed")
    raw_id_fields = ("account",)


class SimInline(admin.TabularInline):
    model = Sim
    extra = 0


@admin.register(Device)
class DeviceAdmin(admin.ModelAdmin):
    list_display = ("name", "number", "model", "enabled", "primary")
    inlines: ClassVar = [SimInline]
    raw_id_fields = ("account",)
