"""Moving what waits for a phone to other phones: the question, and the deed."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from devices.models import Device
from devices.targets import Choice, Place, places

from . import moving, phones


class MoveForm(forms.Form):
    """``to``: phones and SIMs of the account, as ``2`` or ``2|0``, without the phone that is moved from."""

    to = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": _("Check the phones or SIMs that are to send them."),
            "invalid_choice": _("A phone or SIM is gone, paused or switched off. Choose anew."),
        },
    )

    def __init__(self, *args: object, phone: Device, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.account = phone.account_id
        others = [found for found in phones.choices([phone.account_id])[phone.account_id] if _other(found[0], phone)]
        self.fields["to"].choices = others  # type: ignore[attr-defined]

    def places(self) -> list[Place]:
        return places(self.account, Choice.read({"targets": self.cleaned_data["to"]}))


def _other(target: str, phone: Device) -> bool:
    return target.partition("|")[0] != phone.device_id


@login_required
@permission_required("messaging.change_message", raise_exception=True)
@require_http_methods(["GET", "POST"])
def move(request: HttpRequest, pk: int) -> HttpResponse:
    """``pk`` of a Device."""
    phone = get_object_or_404(Device.objects.select_related("account").defer("account__credentials"), pk=pk)
    form = MoveForm(request.POST if request.method == "POST" else None, phone=phone)
    if request.method == "POST" and form.is_valid():
        _tell(request, moving.move(phone, form.places()))
        return redirect("devices-device", pk)
    context = {"phone": phone, "form": form, "n": moving.count(phone), "limit": moving.AT_ONCE}
    return render(request, "messaging/move.html", context)


def _tell(request: HttpRequest, done: moving.Moved) -> None:
    if done.n:
        said = ngettext("%s message goes through another phone.", "%s messages go through other phones.", done.n)
        messages.success(request, said % intcomma(done.n))
    if done.late:
        late = ngettext("%s message was on its way already.", "%s messages were on their way already.", done.late)
        messages.warning(request, late % intcomma(done.late))
    if done.more:
        messages.warning(request, _("There are more. Move them too: so many are moved at once, and no more."))
    if not done.n and not done.late:
        messages.warning(request, _("Nothing waited for this phone any more."))
