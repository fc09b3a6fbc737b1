from __future__ import annotations

from django.contrib import admin

from providers.admin import Admin

from .models import Contact, ContactList, Subscription


@admin.register(Contact)
class ContactAdmin(Admin):
    list_display = ("number", "name", "opted_out_at", "opted_out_by", "created_at")
    search_fields = ("number__startswith",)
    ordering = ("-pk",)
    readonly_fields = ("created_at",)


@admin.register(ContactList)
class ContactListAdmin(Admin):
    list_display = ("name", "created_at")
    search_fields = ("name",)
    readonly_fields = ("created_at",)


@admin.register(Subscription)
class SubscriptionAdmin(Admin):
    list_display = ("contact", "contact_list", "unsubscribed_at", "created_at")
    list_filter = ("contact_list",)
    list_select_related = ("contact", "contact_list")
    search_fields = ("contact__number__startswith",)
    raw_id_fields = ("contact", "contact_list")
    ordering = ("-pk",)
    readonly_fields = ("created_at",)
