"""The provider accounts: how they are doing, their settings, and a way to try them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.middleware import HtmxDetails

from . import cards, probing, registry, tasks
from .encryption import Locked
from .forms import PREFIX, AccountForm
from .models import ProviderAccount
from .types import Feature


class Request(HttpRequest):
    htmx: HtmxDetails


# Without the credentials: a page that only looks must not fail when their key is lost.
unread = ProviderAccount.objects.defer("credentials")


@login_required
@permission_required("providers.view_provideraccount", raise_exception=True)
@require_GET
def accounts(request: HttpRequest) -> HttpResponse:
    found = unread.select_related("pace")
    return render(request, "providers/accounts.html", {"cards": [cards.card(account) for account in found]})


@login_required
@permission_required("providers.add_provideraccount", raise_exception=True)
@require_http_methods(["GET", "POST"])
@sensitive_post_parameters()
def add(request: HttpRequest) -> HttpResponse:
    """First the kind (``?kind=``), then the form with its fields."""
    slug = request.POST.get("kind") or request.GET.get("kind", "")
    if not slug:
        kinds = [cards.kind(kind.adapter) for kind in registry.kinds().values()]
        return render(request, "providers/kinds.html", {"kinds": kinds})
    if slug not in registry.kinds():
        raise Http404
    form = AccountForm(request.POST or None, kind=registry.adapter_class(slug))
    if request.method == "POST" and form.is_valid():
        account = form.save()
        messages.success(request, _("%s is added. Test its connection before you send through it.") % account)
        return redirect("providers-account", account.pk)
    context = {"form": form, "kind": cards.kind(form.kind)}
    return render(request, "providers/add.html", context)


@login_required
@permission_required("providers.view_provideraccount", raise_exception=True)
@require_http_methods(["GET", "POST"])
@sensitive_post_parameters()
def account(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(unread.select_related("pace"), pk=pk)
    locked, form = _is_locked(row), None
    if row.kind in registry.kinds() and request.user.has_perm("providers.change_provideraccount"):
        form = AccountForm(request.POST or None, instance=row, kind=row.kind_class, locked=locked)
    if request.method == "POST":
        if form is None:
            return render(request, "403.html", status=403)
        if form.is_valid():
            saved = form.save()
            resumed = _has_new_access(form) and saved.recover()
            said = _("The changes are saved, and %s sends again.") % saved if resumed else _("The changes are saved.")
            messages.success(request, said)
            return redirect("providers-account", pk)
    context = {"form": form, "locked": locked, **_detail(pk)}
    return render(request, "providers/account.html", context)


def _detail(pk: int) -> dict[str, Any]:
    """What stands beside the form: of the row as it is stored, not as somebody just typed it."""
    row = unread.select_related("pace").get(pk=pk)
    return {
        "account": row,
        "card": cards.card(row),
        "check": tasks.last(pk),
        "in_use": _in_use(row),
    }


def _has_new_access(form: AccountForm) -> bool:
    """Whether the address or a credential is another one now, so that what paused the account may be mended."""
    return any(name == "base_url" or name.startswith(PREFIX) for name in form.changed_data)


def _is_locked(row: ProviderAccount) -> bool:
    try:
        row.credentials  # noqa: B018 - reading is what decrypts
    except Locked:
        return True
    return False


def _in_use(row: ProviderAccount) -> bool:
    """Whether anything refers to the account that a deletion would have to take along. Asks for one row each."""
    for relation in row._meta.related_objects:
        if relation.on_delete is models.PROTECT:
            rows = relation.related_model._base_manager.filter(**{relation.field.name: row})
            if rows.order_by()[:1].exists():
                return True
    return False


@login_required
@permission_required("providers.change_provideraccount", raise_exception=True)
@require_http_methods(["GET", "POST"])
def test(request: Request, pk: int) -> HttpResponse:
    """POST starts a test of the connection; GET is the fragment that fills in when a worker has answered."""
    row = get_object_or_404(unread, pk=pk)
    if request.method == "POST":
        if row.kind not in registry.kinds() or probing.question(row.kind_class) is None:
            raise Http404
        return _started(request, row, tasks.check)
    return _check(request, row, tasks.last(pk))


@login_required
@permission_required("providers.change_provideraccount", raise_exception=True)
@require_POST
def register_webhook(request: Request, pk: int) -> HttpResponse:
    row = get_object_or_404(unread, pk=pk)
    if row.kind not in registry.kinds() or not row.can(Feature.WEBHOOKS):
        raise Http404
    return _started(request, row, tasks.register_webhook)


def _started(request: Request, row: ProviderAccount, task: Callable[[int], None]) -> HttpResponse:
    waiting = tasks.start(task, row.pk)
    return _check(request, row, waiting) if request.htmx else redirect("providers-account", row.pk)


def _check(request: Request, row: ProviderAccount, check: tasks.Check | None) -> HttpResponse:
    if not request.htmx:
        return redirect("providers-account", row.pk)
    return render(request, "providers/account.html#check", {"account": row, "check": check})


def _pause(row: ProviderAccount, request: HttpRequest) -> str:
    row.pause(_("Paused by %s.") % request.user.get_username())
    return _("%s is paused. Its queue is kept.")


def _resume(row: ProviderAccount, request: HttpRequest) -> str:
    row.resume()
    return _("%s sends again.")


def _enable(row: ProviderAccount, request: HttpRequest) -> str:
    row.enabled = True
    row.save(update_fields=["enabled", "updated_at"])
    return _("%s is enabled.")


def _disable(row: ProviderAccount, request: HttpRequest) -> str:
    row.enabled = False
    row.save(update_fields=["enabled", "updated_at"])
    return _("%s is disabled. Its queue is kept.")


SWITCHES: Mapping[str, Callable[[ProviderAccount, HttpRequest], str]] = {
    "pause": _pause,
    "resume": _resume,
    "enable": _enable,
    "disable": _disable,
}


@login_required
@permission_required("providers.change_provideraccount", raise_exception=True)
@require_POST
def switch(request: HttpRequest, pk: int, to: str) -> HttpResponse:
    row = get_object_or_404(unread, pk=pk)
    messages.success(request, SWITCHES[to](row, request) % row)
    return redirect("providers-account", pk)


@login_required
@permission_required("providers.delete_provideraccount", raise_exception=True)
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(unread, pk=pk)
    if _in_use(row):
        messages.error(request, _("%s has messages or keys, so it cannot be deleted. Disable it instead.") % row)
        return redirect("providers-account", pk)
    row.delete()
    messages.success(request, _("%s is deleted.") % row)
    return redirect("providers-accounts")
