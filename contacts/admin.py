from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _

from providers.admin import Admin, Record

from . import optout
from .models import (
    BulkChange,
    ConsentEvent,
    Contact,
    ContactList,
    Import,
    ImportChange,
    ImportChunk,
    ImportReject,
    Mirror,
    OptOutText,
    OptOutWord,
    Subscription,
)


@admin.register(Contact)
class ContactAdmin(Admin):
    list_display = ("number", "name", "opted_out_at", "created_at")
    search_fields = ("number__startswith",)
    ordering = ("-pk",)
    readonly_fields = ("opted_out_at", "created_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ContactList)
class ContactListAdmin(Admin):
    list_display = ("name", "members", "subscribed", "account", "created_at")
    list_select_related = ("account",)
    search_fields = ("name",)
    readonly_fields = ("members", "subscribed", "created_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Subscription)
class SubscriptionAdmin(Record):
    list_display = ("contact", "list", "subscribed", "at", "how", "by")
    list_filter = ("list",)
    list_select_related = ("contact", "list")
    search_fields = ("contact__number__startswith",)
    ordering = ("-pk",)


@admin.register(ConsentEvent)
class ConsentEventAdmin(Record):
    list_display = ("contact", "list", "what", "how", "by", "at")
    list_select_related = ("contact", "list")
    search_fields = ("contact__number__startswith",)
    ordering = ("-pk",)


@admin.register(Import)
class ImportAdmin(Record):
    list_display = ("name", "state", "rows", "added", "updated", "skipped", "rejected", "created_by", "created_at")
    list_select_related = ("created_by",)
    ordering = ("-pk",)


@admin.register(ImportChunk)
class ImportChunkAdmin(Record):
    list_display = ("import_run", "n")
    list_select_related = ("import_run",)
    exclude = ("data",)
    ordering = ("-pk",)


@admin.register(ImportReject)
class ImportRejectAdmin(Record):
    list_display = ("import_run", "row", "reason")
    list_select_related = ("import_run",)
    ordering = ("-pk",)


@admin.register(ImportChange)
class ImportChangeAdmin(Record):
    list_display = ("import_run", "contact")
    list_select_related = ("import_run", "contact")
    ordering = ("-pk",)


@admin.register(Mirror)
class MirrorAdmin(Record):
    list_display = ("list", "contact", "action", "tries", "next_at", "error")
    list_select_related = ("list", "contact")
    ordering = ("-pk",)


@admin.register(BulkChange)
class BulkChangeAdmin(Record):
    list_display = ("action", "list", "done", "created_by", "created_at", "finished_at")
    list_select_related = ("list", "created_by")
    ordering = ("-pk",)


class OptOutWordForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    def clean_word(self) -> str:
        """As optout.py compares words, it has to have something left and to be there once."""
        word = str(self.cleaned_data["word"])
        folded = optout.fold(word)
        if not folded:
            raise ValidationError(_("Write a word with letters or digits: signs and emoji do not count."))
        others = OptOutWord.objects.exclude(pk=self.instance.pk)
        if same := next((other for other in others if optout.fold(other.word) == folded), None):
            raise ValidationError(
                _("“%(word)s” is a word with the meaning “%(kind)s” already, and people cannot tell them apart.")
                % {"word": same, "kind": same.get_kind_display()}
            )
        return word


@admin.register(OptOutWord)
class OptOutWordAdmin(Admin):
    form = OptOutWordForm
    list_display = ("word", "kind", "language")
    list_filter = ("kind", "language")
    search_fields = ("word__startswith",)


@admin.register(OptOutText)
class OptOutTextAdmin(Admin):
    list_display = ("language", "kind", "text")
    list_filter = ("kind", "language")
