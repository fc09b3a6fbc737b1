"""People: everybody, one of them, and what is written down about them."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import push_url

from . import consent, directory
from .act_views import told
from .forms import PersonForm
from .models import ConsentEvent, Contact, How

HISTORY = 100  # events that a contact's page shows, the latest first
TONES = {"subscribed": "ok", "opted_in": "ok", "unsubscribed": "warn", "opted_out": "bad"}  # of the timeline


@login_required
@permission_required("contacts.view_contact", raise_exception=True)
@require_GET
def contacts(request: HttpRequest) -> HttpResponse:
    filters = directory.Filters.from_query(request.GET)
    context = {"filters": filters, "page": directory.page(filters), "here": reverse("contacts-contacts")}
    if request.htmx and "q" in request.GET:
        rows = render(request, "contacts/contacts.html#rows", context)
        return push_url(rows, f"{context['here']}?{filters.query()}".removesuffix("?"))
    return render(request, "contacts/contacts.html", context | told(None))


@login_required
@permission_required("contacts.add_contact", raise_exception=True)
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    initial = {"number": request.GET.get("number", "")}
    form = PersonForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        person = form.save()
        messages.success(request, _("%s is added.") % person)
        return redirect("contacts-contact", person.pk)
    return render(request, "contacts/person.html", {"form": form})


@login_required
@permission_required("contacts.change_contact", raise_exception=True)
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(Contact, pk=pk)
    form = PersonForm(request.POST if request.method == "POST" else None, instance=person)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("The changes are saved."))
        return redirect("contacts-contact", pk)
    return render(request, "contacts/person.html", {"form": form, "person": get_object_or_404(Contact, pk=pk)})


@login_required
@permission_required("contacts.view_contact", raise_exception=True)
@require_GET
def contact(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(Contact.objects.select_related("made_by_import"), pk=pk)
    context = {
        "person": person,
        "places": person.subscriptions.select_related("list").defer("list__description").order_by("list__name"),
        "events": _history(person),
        "most": HISTORY,
        "here": reverse("contacts-contact", args=[pk]),
    }
    return render(request, "contacts/contact.html", context)


def _history(person: Contact) -> list[ConsentEvent]:
    """The latest events. A removal that still holds can be taken back: ``event.back``."""
    events = list(person.events.select_related("list").order_by("-pk")[:HISTORY])
    told: set[int | None] = set()
    for event in events:
        event.tone = TONES.get(event.what, "")  # type: ignore[attr-defined]
        removed = event.what == ConsentEvent.What.REMOVED and event.list_id not in told
        event.back = removed and event.list is not None and event.list.deleted_at is None  # type: ignore[attr-defined]
        told.add(event.list_id)
    return events


@login_required
@permission_required("contacts.change_contact", raise_exception=True)
@require_POST
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    """Put the person back on the list that the removal named by ``event`` took them off, as they were there."""
    number = request.POST.get("event", "")
    removals = ConsentEvent.objects.filter(what=ConsentEvent.What.REMOVED, contact=pk, list__deleted_at=None)
    event = get_object_or_404(removals, pk=number if number.isascii() and number.isdigit() and len(number) < 19 else 0)
    by, reason = str(request.user), _("The removal was undone.")
    if consent.restore(event.list, [pk], bool(event.proof.get("subscribed")), How.OPERATOR, by, reason):
        messages.success(request, _("They are on “%s” again.") % event.list)
    else:
        messages.warning(request, _("They are on “%s” already.") % event.list)
    return redirect("contacts-contact", pk)
