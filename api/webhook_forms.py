"""The form of a webhook: where, of what, in which format, and as which key it is told."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from providers import guard
from providers.models import AllowedHost

from . import formats, keys
from .models import Webhook


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    """``private_host``: the host of the URL, if that is what stands against it."""

    events = forms.MultipleChoiceField(
        label=gettext_lazy("Tell it of these"),
        widget=forms.CheckboxSelectMultiple,
        choices=list(formats.EVENTS.items()),
        error_messages={"required": gettext_lazy("Choose at least one event.")},
    )

    class Meta:
        model = Webhook
        fields = ["name", "url", "events", "format", "key"]
        widgets = {
            "url": forms.URLInput(attrs={"class": "mono", "placeholder": "https://example.com/hook"}),
        }
        help_texts = {
            "key": gettext_lazy("With a key it is told of what that key may see. Without, of everything."),
            "format": gettext_lazy("Standard Webhooks has a word for every event."),
        }
        error_messages = {"url": {"required": gettext_lazy("Give the URL that the events are posted to.")}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.private_host = ""
        self.fields["key"].queryset = keys.unread.filter(revoked_at=None).order_by("name", "pk")
        self.fields["key"].empty_label = _("None: everything")
        self.initial.setdefault("events", self.instance.events)
        self.initial.setdefault("format", Webhook.Format.STANDARD)

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"]).strip()
        try:
            guard.check(url)
        except guard.Refused as error:
            self.private_host = getattr(error, "host", "")
            raise ValidationError(str(error)) from error
        return url

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        format, chosen = data.get("format", ""), data.get("events") or []
        if silent := [str(formats.EVENTS[name]) for name in chosen if not formats.speaks(format, name)]:
            words = _("This format has no word for: %s. Take it off, or choose Standard Webhooks.")
            self.add_error("events", words % "; ".join(silent))
        return data


def allow(host: str) -> None:
    """From now on webhooks and links may point to this host of a private network."""
    AllowedHost.objects.get_or_create(name=guard.host_name(host))
