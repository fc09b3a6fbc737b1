"""The pages of API keys: which there are and how they are used; making, changing, rotating and revoking them.

A key is shown in the answer to the request that made it, and nowhere else: in no URL, no session, no cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from . import key_forms, keys
from .models import ApiKey, Scope

# State of a key to its tone, icon and word.
LOOKS: Mapping[str, tuple[str, str, Promise]] = {
    "active": ("ok", "circle-check", gettext_lazy("Works")),
    "rotating": ("info", "refresh-cw", gettext_lazy("Rotating")),
    "disabled": ("quiet", "pause", gettext_lazy("Disabled")),
    "ownerless": ("warn", "user-x", gettext_lazy("Owner is inactive")),
    "expired": ("warn", "timer-off", gettext_lazy("Expired")),
    "revoked": ("quiet", "ban", gettext_lazy("Revoked")),
}
TO = "+15550100001"  # of the examples; a number that nobody has


@dataclass(frozen=True, slots=True)
class Line:
    """A key in the list, and on its page. ``state``: a name of LOOKS."""

    row: ApiKey
    state: str
    scopes: list[Promise | str]

    @property
    def look(self) -> tuple[str, str, Promise]:
        return LOOKS[self.state]


def line(row: ApiKey) -> Line:
    names = dict(Scope.choices)
    return Line(row, state_of(row), [names.get(scope, scope) for scope in row.scopes])


def state_of(row: ApiKey) -> str:
    now = timezone.now()
    states = {
        "revoked": row.revoked_at is not None,
        "expired": row.expires_at is not None and row.expires_at <= now,
        "disabled": not row.enabled,
        "ownerless": row.owner is not None and not row.owner.is_active,
        "rotating": row.previous_until is not None and row.previous_until > now,
    }
    return next((name for name, holds in states.items() if holds), "active")


_rows = keys.unread.select_related("owner", "account", "route")


@login_required
@require_GET
def api_keys(request: HttpRequest) -> HttpResponse:
    """All keys, or one's own. ``?revoked=1``: those that are revoked."""
    if not request.user.has_perm("api.view_apikey"):
        if not key_forms.may_add(request.user):
            raise PermissionDenied
        found = _rows.filter(owner=request.user.pk)
    else:
        found = _rows.all()
    lines = [line(row) for row in found.order_by("name", "pk")]
    revoked = bool(request.GET.get("revoked"))
    context = {
        "lines": [one for one in lines if (one.state == "revoked") == revoked],
        "revoked": revoked,
        "n_revoked": sum(one.state == "revoked" for one in lines),
        "n": len(lines),
    }
    return render(request, "api/keys.html", context)


@login_required
@permission_required("api.add_apikey", raise_exception=True)
@require_http_methods(["GET", "POST"])
@sensitive_variables("key", "secret")
def new(request: HttpRequest) -> HttpResponse:
    form = key_forms.KeyForm(request.POST or None, by=request.user, initial={"owner": request.user.pk})
    if form.is_bound and form.is_valid():
        key, secret = form.issue()
        return _shown(request, form.instance, key, secret)
    return render(request, "api/key.html", {"form": form})


@login_required
@require_http_methods(["GET", "POST"])
def api_key(request: HttpRequest, pk: int) -> HttpResponse:
    row = _visible(request, pk)
    form, changes = None, key_forms.may_change(request.user, row) and not row.revoked_at
    if changes:
        form = key_forms.KeyForm(request.POST or None, instance=row, by=request.user)
    if request.method == "POST":
        if form is None:
            raise PermissionDenied
        if form.is_valid():
            form.save()
            messages.success(request, _("The changes of %s are saved.") % row)
            return redirect("api-key", pk)
    return render(request, "api/key.html", {"form": form, **_beside(request, pk)})


def _visible(request: HttpRequest, pk: int) -> ApiKey:
    row = get_object_or_404(_rows, pk=pk)
    if not key_forms.may_see(request.user, row):
        raise PermissionDenied
    return row


def _beside(request: HttpRequest, pk: int) -> dict[str, Any]:
    """What stands beside the form: of the key as it is stored, not as somebody just typed it."""
    row = _rows.get(pk=pk)
    return {
        "key": row,
        "line": line(row),
        "rotating": key_forms.RotateForm(),
        "changes": key_forms.may_change(request.user, row) and not row.revoked_at,
        "revokes": key_forms.may_revoke(request.user, row) and not row.revoked_at,
        "usual_rate": settings.SMSDASH_API_RATE,
    }


@login_required
@require_POST
@sensitive_variables("key", "secret")
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    row, form = _changeable(request, pk), key_forms.RotateForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose how long the key until now still works."))
        return redirect("api-key", pk)
    try:
        key, secret = keys.rotate(row, form.cleaned_data["overlap"])
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("api-key", pk)
    return _shown(request, _rows.get(pk=pk), key, secret)


def _changeable(request: HttpRequest, pk: int) -> ApiKey:
    row = _visible(request, pk)
    if not key_forms.may_change(request.user, row):
        raise PermissionDenied
    return row


@never_cache
@sensitive_variables()
def _shown(request: HttpRequest, row: ApiKey, key: str, secret: str) -> HttpResponse:
    context = {"row": row, "key": key, "secret": secret, "examples": examples(key, secret)}
    return render(request, "api/shown.html", context)


@sensitive_variables()
def examples(key: str, secret: str) -> list[tuple[str, str]]:
    """For each API that the key works in what to read, and a command to paste."""
    url, text = settings.SMSDASH_PUBLIC_URL, "Hello from smsdash"
    json = f'"message": "{text}"'
    bearer, posts = f"-H 'Authorization: Bearer {key}'", "-H 'Content-Type: application/json'"
    return [
        ("smsdash, GET /v1/account", f"curl {url}/v1/account \\\n  {bearer}"),
        (
            "SMS Provider, POST /v1/messages",
            f'curl {url}/v1/messages \\\n  {bearer} \\\n  {posts} \\\n  -d \'{{"to": "{TO}", {json}}}\'',
        ),
        (
            "Customer SMS, POST /sms_system/api.php",
            f'curl {url}/sms_system/api.php \\\n  {posts} \\\n  -d \'{{"api_key": "{key}", "phone": "{TO}", {json}}}\'',
        ),
        (
            "VoIP Communications, POST /api-v2/index.php/sms/send",
            f"curl {url}/api-v2/index.php/sms/send \\\n  -u '{key}:{secret}' \\\n  -d to={TO[1:]} -d 'msg={text}'",
        ),
        (
            "SMS Gateway, POST /services/send.php",
            f"curl {url}/services/send.php \\\n  -d key={key} \\\n  --data-urlencode number={TO} -d 'message={text}'",
        ),
    ]


@login_required
@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    row = _visible(request, pk)
    if not key_forms.may_revoke(request.user, row):
        raise PermissionDenied
    keys.revoke(row)
    messages.success(request, _("%s is revoked. Whoever uses it is refused from now on.") % row)
    return redirect("api-keys")


@login_required
@require_POST
def switch(request: HttpRequest, pk: int, on: bool) -> HttpResponse:
    row = _changeable(request, pk)
    ApiKey.objects.filter(pk=row.pk).update(enabled=on)
    said = _("%s works again.") if on else _("%s is disabled. Whoever uses it is refused until it is enabled again.")
    messages.success(request, said % row)
    return redirect("api-key", pk)
