"""The accounts for administrators. Credentials are never shown here: they have their own page."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from . import guard
from .models import AllowedHost, Exchange, Occurrence, Pace, ProviderAccount, Wanted

FAR = 10_000  # rows; further the admin does not count


class ShortPaginator(Paginator):  # type: ignore[type-arg]
    """Counts as far as anybody pages by hand, and no further."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[:FAR].count()


class AccountFilter(admin.SimpleListFilter):
    """By account, from two columns: the credentials stay sealed."""

    title = _("account")
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(str(pk), name) for pk, name in ProviderAccount.objects.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(account_id=self.value()) if (self.value() or "").isdigit() else queryset


class Admin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django's is not subscriptable
    """What is common to ours. ``sealed``: columns that are not even read, because they hold secrets or are long."""

    sealed: ClassVar[tuple[str, ...]] = ()
    paginator = ShortPaginator
    show_full_result_count = False
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if any(name.startswith("account__") for name in self.sealed):
            rows = rows.select_related("account")
        return rows.defer(*self.sealed)


class Record(Admin):
    """A record of what happened: to be read. Its counts and its status belong to the code that keeps them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ProviderAccount)
class ProviderAccountAdmin(Admin):
    list_display = ("name", "kind", "enabled", "paused_reason", "credits", "credits_seen_at", "updated_at")
    list_filter = ("enabled", "kind")
    search_fields = ("name",)
    fields = ("name", "kind", "base_url", "sender", "rates", "enabled", "paused_reason", "credits", "credits_seen_at")
    readonly_fields = ("kind", "base_url", "credits", "credits_seen_at")  # the accounts page knows who may get the key
    sealed = ("credentials",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """They are added on the accounts page, which knows what each kind needs."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The accounts page deletes those to which nothing belongs."""
        return False


@admin.register(Pace)
class PaceAdmin(Record):
    list_display = ("account", "held_until")
    ordering = ("account",)
    sealed = ("account__credentials",)


@admin.register(Exchange)
class ExchangeAdmin(Record):
    list_display = ("at", "account", "verb", "status", "milliseconds", "error", "open", "id")
    fields = ("account", "at", "verb", "status", "milliseconds", "error", "open", "refs")
    search_fields = ("id__exact",)
    list_filter = ("open", AccountFilter)
    ordering = ("-id",)
    sealed = ("account__credentials", "trace")


class AllowedHostForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    def clean_name(self) -> str:
        """As it stands in an address, which may be given instead."""
        text = str(self.cleaned_data["name"]).strip()
        bare = f"[{text}]" if text.count(":") > 1 else text
        name = guard.host_of(text if "://" in text else f"http://{bare}/")
        if not name:
            raise ValidationError(_("Write a host name or an IP address, without a path."))
        return name


@admin.register(AllowedHost)
class AllowedHostAdmin(Admin):
    """Hosts in private networks that webhooks and links may point to."""

    form = AllowedHostForm
    list_display = ("name", "created_at")
    search_fields = ("name",)


@admin.register(Occurrence)
class OccurrenceAdmin(Record):
    list_display = ("id", "name", "subject", "at")
    search_fields = ("subject__exact",)
    ordering = ("-id",)


@admin.register(Wanted)
class WantedAdmin(Record):
    list_display = ("name",)
    ordering = ("name",)
