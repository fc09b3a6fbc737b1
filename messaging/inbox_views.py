"""The inbox: conversations, the thread of one, and what is done with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import push_url

from . import inbox, inbox_forms, inbox_optout, inbox_pages
from . import log as message_log
from .models import Conversation

VIEW, CHANGE = "messaging.view_conversation", "messaging.change_conversation"


@login_required
@permission_required(VIEW, raise_exception=True)
@require_GET
@never_cache
def conversations(request: HttpRequest) -> HttpResponse:
    """The page, or its fragment: for the search as it is typed, and for the poller (204 while ``v`` still holds)."""
    filters = inbox_pages.Filters.from_query(request.GET)
    page = inbox_pages.page(filters, request.user)
    polling = request.htmx and "v" in request.GET
    if polling and request.GET["v"] == page.version:
        return HttpResponse(status=204)
    tabs = [(name, words, filters.query(tab=name)) for name, words in inbox_pages.TABS.items()]
    context = {"filters": filters, "page": page, "tabs": tabs, "here": filters.query(after=filters.after)}
    if not request.htmx:
        return render(request, "messaging/inbox.html", context)
    fragment = render(request, "messaging/inbox.html#rows", context)
    url = f"{reverse('messaging-inbox')}?{context['here']}".removesuffix("?")
    return fragment if polling else push_url(fragment, url)


@login_required
@permission_required(VIEW, raise_exception=True)
@require_GET
@never_cache
def unread(request: HttpRequest) -> HttpResponse:
    """The number beside the entry in the navigation."""
    n = inbox.count_unread(request.user)
    return render(request, "messaging/inbox_count.html", {"n": n, "many": n >= inbox.MANY})


@login_required
@permission_required(VIEW, raise_exception=True)
@require_GET
def of_number(request: HttpRequest, number: str) -> HttpResponse:
    """The conversation with a number; where there is none yet, its messages in the log."""
    found = Conversation.objects.filter(number=number).values_list("pk", flat=True).first()
    if found:
        return redirect("messaging-conversation", found)
    return redirect(f"{reverse('messaging-log')}?{message_log.Filters(number=number).query()}")


@login_required
@permission_required(VIEW, raise_exception=True)
@require_GET
@never_cache
def conversation(request: HttpRequest, pk: int) -> HttpResponse:
    """The page, or for its poller the thread: 204 while ``v`` still holds. Who sees it has read it."""
    found = _get(pk)
    contact = inbox_pages.contact_of(found.number)
    version = inbox_pages.thread_version(found, contact)
    if request.htmx and request.GET.get("v") == version:
        return HttpResponse(status=204)
    before, after = (message_log.read_id(request.GET.get(name, "")) for name in ("before", "after"))
    thread = inbox_pages.thread(found.number, before, after)
    inbox.read(found, request.user, found.heard)
    context = {"conversation": found, "contact": contact, "thread": thread, "version": version}
    if request.htmx:
        return render(request, "messaging/inbox_thread.html#thread", context)
    form = inbox_forms.ReplyForm(conversation=found, initial={"token": uuid.uuid4()})
    return _show(request, context, form)


def _show(request: HttpRequest, context: dict[str, Any], form: inbox_forms.ReplyForm) -> HttpResponse:
    found = context["conversation"]
    more = {
        "form": form,
        "sim": inbox_pages.sim_of(found),
        "people": inbox_forms.people() if request.user.has_perm(CHANGE) else [],
        "snoozes": inbox_forms.snoozes(),
        "state": _state(found),
    }
    return render(request, "messaging/inbox_thread.html", context | more)


def _state(found: Conversation) -> str:
    if found.state == inbox.State.CLOSED:
        return "closed"
    return "open" if inbox.visible(Conversation.objects.filter(pk=found.pk)).exists() else "snoozed"


def _get(pk: int) -> Conversation:
    rows = Conversation.objects.select_related("account", "assigned_to").defer("account__credentials")
    return get_object_or_404(rows, pk=pk)


@login_required
@permission_required(VIEW, raise_exception=True)
@require_POST
def reply(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer; a form that was sent already answers once."""
    if not request.user.has_perm("messaging.add_message"):
        raise PermissionDenied
    found = _get(pk)
    form = inbox_forms.ReplyForm(request.POST, conversation=found)
    if form.is_valid():
        try:
            values = form.cleaned_data
            inbox.reply(found, values["text"], request.user, values["token"], form.chosen)
            return redirect("messaging-conversation", pk)
        except ValueError as error:
            form.add_error("text", str(error))
    contact = inbox_pages.contact_of(found.number)
    thread = inbox_pages.thread(found.number)
    version = inbox_pages.thread_version(found, contact)
    return _show(request, {"conversation": found, "contact": contact, "thread": thread, "version": version}, form)


# --- What is done with a conversation --------------------------------------------------------------------


@login_required
@permission_required(CHANGE, raise_exception=True)
@require_POST
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """Do ``action`` with the conversation. Closing it, or putting it aside, leads back to the inbox."""
    found = _get(pk)
    action = ACTIONS.get(request.POST.get("action", ""))
    away = action is not None and action(request, found)
    return redirect("messaging-inbox") if away else redirect("messaging-conversation", pk)


def _close(request: HttpRequest, found: Conversation) -> bool:
    inbox.close(found)
    messages.success(request, _("The conversation with %s is closed. It opens again when they write.") % found.number)
    return True


def _reopen(request: HttpRequest, found: Conversation) -> None:
    inbox.reopen(found)


def _snooze(request: HttpRequest, found: Conversation) -> bool:
    form = inbox_forms.SnoozeForm(request.POST)
    if not form.is_valid():
        messages.error(request, form.wrong)
        return False
    inbox.snooze(found, form.moment)
    values = {"number": found.number, "time": date_format(timezone.localtime(form.moment), "l, j F, H:i")}
    said = _("The conversation with %(number)s is out of sight until %(time)s, or until they write again.")
    messages.success(request, said % values)
    return True


def _assign(request: HttpRequest, found: Conversation) -> None:
    to = request.POST.get("to", "")
    user = next((person for person in inbox_forms.people() if str(person.pk) == to), None)
    if to and user is None:
        messages.error(request, _("This person is not here any more. Choose another one."))
        return
    inbox.assign(found, user)
    said = _("It is %s’s now.") % user if user else _("It is nobody’s now.")
    messages.success(request, said)


def _unread(request: HttpRequest, found: Conversation) -> bool:
    inbox.unread(found, request.user)
    return True


def _looked(request: HttpRequest, found: Conversation) -> None:
    inbox.flag(found, "")


def _opt_out(request: HttpRequest, found: Conversation) -> None:
    if not request.user.has_perm("contacts.change_contact"):
        raise PermissionDenied
    inbox_optout.opt_out(found, request.user)
    messages.success(request, _("%s is opted out of everything.") % found.number)


ACTIONS: Mapping[str, Callable[[HttpRequest, Conversation], bool | None]] = {
    "close": _close,
    "reopen": _reopen,
    "snooze": _snooze,
    "assign": _assign,
    "unread": _unread,
    "looked": _looked,
    "opt_out": _opt_out,
}
"""Each does what it is named after. True: there is no more to see here."""


@login_required
@permission_required(VIEW, raise_exception=True)
@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    """Nothing is unread for this person any more."""
    inbox.read_all(request.user)
    return redirect("messaging-inbox")
