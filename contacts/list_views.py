"""Lists: all with their sizes, one with its members, and its twin at a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import push_url

from providers.models import ProviderAccount

from . import consent, directory, mirroring
from . import lists as whole_lists
from .act_views import told
from .forms import LinkForm, ListForm, MemberForm
from .models import Contact, ContactList, How

STATUSES: Mapping[str, Promise] = {
    "": gettext_lazy("All"),
    directory.SUBSCRIBED: gettext_lazy("Subscribed"),
    directory.UNSUBSCRIBED: gettext_lazy("Unsubscribed"),
    directory.OPTED_OUT: gettext_lazy("Opted out"),
}


@login_required
@permission_required("contacts.view_contact", raise_exception=True)
@require_GET
def lists(request: HttpRequest) -> HttpResponse:
    found = list(ContactList.objects.all())
    names = _account_names(found)
    for one in found:
        one.account_name = names.get(one.account_id, "")  # type: ignore[attr-defined]
    return render(request, "contacts/lists.html", {"lists": found})


def _account_names(found: list[ContactList]) -> Mapping[int | None, str]:
    if not any(one.account_id for one in found):
        return {}
    return dict(ProviderAccount.objects.values_list("pk", "name"))


@login_required
@permission_required("contacts.view_contact", raise_exception=True)
@require_GET
def members(request: HttpRequest, pk: int) -> HttpResponse:
    """A list's members, or for the filters as they change, the fragment with the rows."""
    of = get_object_or_404(ContactList, pk=pk)
    filters = directory.Filters.from_query(request.GET, of)
    context: dict[str, Any] = {
        "list": of,
        "filters": filters,
        "page": directory.page(filters),
        "here": reverse("contacts-list", args=[pk]),
        "tabs": [_tab(filters, status, label) for status, label in STATUSES.items()],
    }
    if request.htmx and "q" in request.GET:
        rows = render(request, "contacts/list.html#rows", context)
        return push_url(rows, f"{context['here']}?{filters.query()}".removesuffix("?"))
    context |= told(of)
    if of.mirrored:
        context |= {"failures": mirroring.failures(of), "waits": mirroring.waits(of)}
        context["account_name"] = ProviderAccount.objects.values_list("name", flat=True).get(pk=of.account_id)
    return render(request, "contacts/list.html", context)


def _tab(filters: directory.Filters, status: str, label: Promise) -> dict[str, Any]:
    of = filters.list
    kept = {"": of.members, directory.SUBSCRIBED: of.subscribed, directory.UNSUBSCRIBED: of.unsubscribed} if of else {}
    return {
        "query": filters.query(status=status),
        "label": label,
        "n": None if filters.text else kept.get(status),
        "current": status == filters.status,
    }


@login_required
@permission_required("contacts.add_contactlist", raise_exception=True)
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    form = ListForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        made = form.save()
        messages.success(request, _("The list “%s” is there. Add people to it.") % made)
        return redirect("contacts-list", made.pk)
    return render(request, "contacts/list_form.html", {"form": form})


@login_required
@permission_required("contacts.change_contactlist", raise_exception=True)
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The name and description, and the list's twin at a provider; each is a form of its own."""
    of = get_object_or_404(ContactList, pk=pk)
    linking = "link" in request.POST
    form = ListForm(request.POST if request.method == "POST" and not linking else None, instance=of)
    link = LinkForm(
        request.POST if linking else None,
        initial={"account": of.account_id, "remote_id": of.remote_id, "members": True},
    )
    if linking and link.is_valid():
        values = link.cleaned_data
        whole_lists.link(of, values["account"], values["remote_id"], values["members"], request.user)
        messages.success(request, _("The changes are saved."))
        return redirect("contacts-list", pk)
    if request.method == "POST" and not linking and form.is_valid():
        ContactList.objects.filter(pk=pk).update(**form.cleaned_data)
        messages.success(request, _("The changes are saved."))
        return redirect("contacts-list", pk)
    context = {"form": form, "link": link, "list": get_object_or_404(ContactList, pk=pk)}
    return render(request, "contacts/list_form.html", context)


@login_required
@permission_required("contacts.delete_contactlist", raise_exception=True)
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    of = get_object_or_404(ContactList, pk=pk)
    whole_lists.delete(of, request.user)
    messages.success(request, _("The list “%s” is deleted. Its people stay contacts.") % of)
    return redirect("contacts-lists")


@login_required
@permission_required("contacts.add_contact", raise_exception=True)
@require_http_methods(["GET", "POST"])
def add_member(request: HttpRequest, pk: int) -> HttpResponse:
    of = get_object_or_404(ContactList, pk=pk)
    form = MemberForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        _put_on(request, of, form.cleaned_data)
        return redirect("contacts-list", pk)
    return render(request, "contacts/member.html", {"form": form, "list": of})


def _put_on(request: HttpRequest, of: ContactList, typed: Mapping[str, Any]) -> None:
    with transaction.atomic():
        person, new = Contact.objects.get_or_create(number=typed["number"], defaults={"name": typed["name"]})
        done = consent.subscribe(of, [person.pk], How.OPERATOR, str(request.user), resubscribe=typed["resubscribe"])
    if done.added and new:
        messages.success(request, _("%s is new, and on the list.") % person)
    elif done.added:
        messages.success(request, _("%s was known already, and is on the list now.") % person)
    elif done.resubscribed:
        messages.success(request, _("%s is subscribed again.") % person)
    elif done.unsubscribed:
        messages.warning(request, _("%s unsubscribed from this list, and was left as they are.") % person)
    else:
        messages.warning(request, _("%s is on the list already.") % person)
    if done.opted_out:
        messages.warning(request, _("%s opted out of everything: nobody writes to them.") % person)


@login_required
@permission_required("contacts.change_contactlist", raise_exception=True)
@require_POST
def mirror_again(request: HttpRequest, pk: int) -> HttpResponse:
    of = get_object_or_404(ContactList, pk=pk)
    n = mirroring.try_again(of)
    if n and of.account_id:
        mirroring.wake(of.account_id)
    said = ngettext("%d change is tried again.", "%d changes are tried again.", n) % n
    messages.success(request, said) if n else messages.warning(request, _("There was nothing left to try again."))
    return redirect("contacts-list", pk)
