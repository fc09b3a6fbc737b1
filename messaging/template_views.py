"""The pages of templates: the saved texts, found by a word; adding, changing and deleting them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from . import merging
from .models import Template
from .segments import measure
from .template_forms import TemplateForm

SHOWN = 200  # templates on the page; the rest is found by searching


@login_required
@permission_required("messaging.view_template", raise_exception=True)
@require_GET
def templates(request: HttpRequest) -> HttpResponse:
    """``?q=``: those with all these words in their names or texts."""
    sought = " ".join(request.GET.get("q", "").replace("\x00", "").split())[:100]
    found = Template.objects.all()
    for word in sought.split():
        found = found.filter(Q(name__icontains=word) | Q(text__icontains=word))
    rows = list(found[: SHOWN + 1])
    context = {"rows": [_row(template) for template in rows[:SHOWN]], "q": sought, "more": len(rows) > SHOWN}
    return render(request, "messaging/templates.html#rows" if request.htmx else "messaging/templates.html", context)


def _row(template: Template) -> dict[str, Any]:
    names = merging.fields_of(template.text)
    return {"template": template, "fields": names, "parts": measure(template.text).parts}


@login_required
@permission_required("messaging.add_template", raise_exception=True)
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """``?text=`` fills the empty form."""
    return _edit(request, None, {"text": request.GET.get("text", "").replace("\x00", "")})


@login_required
@permission_required("messaging.view_template", raise_exception=True)
@require_http_methods(["GET", "POST"])
def template(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Template, pk=pk)
    if request.user.has_perm("messaging.change_template"):
        return _edit(request, found, {})
    if request.method == "POST":
        raise PermissionDenied
    return render(request, "messaging/template.html", {"template": found, **_row(found)})


def _edit(request: HttpRequest, found: Template | None, initial: dict[str, Any]) -> HttpResponse:
    form = TemplateForm(request.POST if request.method == "POST" else None, instance=found, initial=initial)
    if request.method == "POST" and form.is_valid():
        saved = form.save(commit=False)
        saved.created_by = saved.created_by or request.user
        saved.save()
        messages.success(request, _("The template “%s” is saved.") % saved)
        return redirect("messaging-templates")
    shown = Template.objects.get(pk=found.pk) if found else None
    return render(request, "messaging/template.html", {"form": form, "template": shown})


@login_required
@permission_required("messaging.delete_template", raise_exception=True)
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Template, pk=pk)
    found.delete()
    messages.success(request, _("The template “%s” is deleted. What was sent with it stays as it is.") % found)
    return redirect("messaging-templates")
