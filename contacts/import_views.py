"""Imports: all of them, one on its way, and the downloads of contacts and of rows that were not taken."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from . import exporting, import_files, import_sheets, importing
from .directory import Filters
from .import_forms import DUPLICATES, Reading, Upload
from .import_rows import REASONS
from .models import ContactList, Import

PAGE = 50
State = Import.State
LOOKS = {
    State.DRAFT: ("quiet", "file-pen-line"),
    State.WAITING: ("quiet", "clock"),
    State.RUNNING: ("info", "loader-circle"),
    State.STOPPED: ("warn", "octagon-pause"),
    State.DONE: ("ok", "circle-check"),
    State.FAILED: ("bad", "circle-x"),
    State.UNDOING: ("info", "undo-2"),
    State.UNDONE: ("quiet", "undo-2"),
}
"""State to tone and icon."""


@login_required
@permission_required("contacts.view_import", raise_exception=True)
@require_http_methods(["GET", "POST"])
@never_cache
def imports(request: HttpRequest) -> HttpResponse:
    """Newest first; ``before`` is the id that an older page goes on from. A file that is posted becomes a draft."""
    form = Upload(initial={"token": uuid.uuid4()})
    if request.method == "POST":
        if not request.user.has_perm("contacts.add_import"):
            raise PermissionDenied
        form = Upload(request.POST, request.FILES)
        if form.is_valid():
            file = form.cleaned_data["file"]
            try:
                run = import_files.receive(file.name, file, request.user, form.cleaned_data["token"])
                return redirect("contacts-import", run.pk)
            except import_files.FileError as error:
                form.add_error("file", str(error))
    before = request.GET.get("before", "")
    rows = Import.objects.filter(size__gt=0).select_related("created_by").order_by("-pk")
    if before.isdecimal():
        rows = rows.filter(pk__lt=int(before[:18]))
    found = list(rows[: PAGE + 1])
    context = {
        "form": form,
        "imports": [_shown(run) for run in found[:PAGE]],
        "older": found[PAGE - 1].pk if len(found) > PAGE else None,
        "before": before,
    }
    return render(request, "contacts/imports.html", context)


@login_required
@permission_required("contacts.view_import", raise_exception=True)
@require_GET
@never_cache
def one(request: HttpRequest, pk: int) -> HttpResponse:
    """A draft to be read rightly, or how far an import is: then the fragment alone for the poller."""
    run = get_object_or_404(Import.objects.select_related("created_by"), pk=pk, size__gt=0)
    if run.state == State.DRAFT:
        return render(request, "contacts/import_draft.html", {"run": run, "form": Reading(run)})
    context = _shown(run) | {"reasons": _reasons(run), "plan": _plan(run)}
    return render(request, "contacts/import.html#progress" if request.htmx else "contacts/import.html", context)


@login_required
@permission_required("contacts.add_import", raise_exception=True)
@require_POST
def begin(request: HttpRequest, pk: int) -> HttpResponse:
    """Start the import as it was said; without ``start``, show what it would be."""
    run = get_object_or_404(Import, pk=pk, size__gt=0)
    if run.state != State.DRAFT:
        return redirect("contacts-import", pk)
    form = Reading(run, request.POST, check="start" in request.POST)
    if "start" in request.POST and form.is_valid():
        importing.begin(run, form.plan())
        return redirect("contacts-import", pk)
    template = "contacts/import_draft.html#reading" if request.htmx else "contacts/import_draft.html"
    return render(request, template, {"run": run, "form": form})


ACTS: Mapping[str, tuple[Callable[[Import], bool], str]] = {
    "stop": (importing.stop, "contacts.change_import"),
    "continue": (importing.resume, "contacts.change_import"),
    "undo": (importing.undo, "contacts.change_import"),
    "discard": (importing.discard, "contacts.add_import"),
}


@login_required
@permission_required("contacts.view_import", raise_exception=True)
@require_POST
def act(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(Import, pk=pk)
    name = request.POST.get("action", "")
    if name not in ACTS:
        return redirect("contacts-import", pk)
    do, permission = ACTS[name]
    if not request.user.has_perm(permission):
        raise PermissionDenied
    if not do(run):
        messages.warning(request, _("That cannot be done with this import any more."))
    elif name == "discard":
        messages.success(request, _("The file is discarded. Nothing of it was imported."))
        return redirect("contacts-imports")
    return redirect("contacts-import", pk)


def _shown(run: Import) -> dict[str, Any]:
    """An import with what the pages say of it."""
    worked = run.cursor.get("seconds", 0.0)
    rate = run.rows / worked if worked else 0.0
    left = (run.total_bytes - run.done_bytes) * worked / run.done_bytes if run.done_bytes else None
    tone, icon = LOOKS[State(run.state)]
    return {
        "run": run,
        "tone": tone,
        "icon": icon,
        "rate": round(rate),
        "left": timedelta(seconds=round(left)) if left and run.state in importing.GOING else None,
        "going": run.state in importing.AT_WORK,
        "percent": int(100 * importing.share(run)),
        "reading": import_sheets.waits(run),
        "unreadable": importing.is_unreadable(run),
    }


def _reasons(run: Import) -> list[tuple[Any, int]]:
    """Why rows were rejected, the most frequent first."""
    pairs = sorted(run.reasons.items(), key=lambda pair: -pair[1])
    return [(REASONS.get(reason, reason), n) for reason, n in pairs]


def _plan(run: Import) -> list[tuple[Any, str]]:
    """What was chosen, in words."""
    plan = importing.Plan.of(run)
    lists = ContactList.with_deleted.filter(pk__in=plan.lists).values_list("name", flat=True)
    return [
        (gettext_lazy("When a number is known already"), str(DUPLICATES[plan.duplicates])),
        (gettext_lazy("Everybody is put on"), ", ".join(lists) or _("no list")),
        (gettext_lazy("Encoding"), plan.encoding),
    ]


# --- Downloads ---------------------------------------------------------------------------------------


@login_required
@permission_required("contacts.view_import", raise_exception=True)
@require_GET
def rejected(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    run = get_object_or_404(Import, pk=pk)
    name = slugify(run.name.rpartition(".")[0]) or "import"
    return exporting.download(rejected_lines(run), f"{name}.rejected.csv")


def rejected_lines(run: Import) -> Iterator[str]:
    """The rows that were not taken, as CSV: number of the row, reason, then its cells."""
    yield exporting.as_csv([[_("row"), _("reason"), *map(exporting.guarded, run.options.get("heading", ()))]])
    rows = run.rejects.order_by("row").values_list("row", "reason", "text")
    for row, reason, text in rows.iterator(chunk_size=1_000):
        cells = next(csv.reader(io.StringIO(text, newline="")), [])
        yield exporting.as_csv([[str(row), str(REASONS.get(reason, reason)), *map(exporting.guarded, cells)]])


@login_required
@permission_required("contacts.view_contact", raise_exception=True)
@require_GET
def export(request: HttpRequest) -> StreamingHttpResponse:
    """All contacts, or those of a filter of the contacts page."""
    return exporting.answer(Filters.from_query(request.GET))


@login_required
@permission_required("contacts.view_contact", raise_exception=True)
@require_GET
def export_list(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    return exporting.answer(Filters.from_query(request.GET, get_object_or_404(ContactList, pk=pk)))
