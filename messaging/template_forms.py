"""The form in which a template is written."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.text import normalize_newlines
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import merging, segments
from .models import Template


class TemplateForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    text = forms.CharField(
        label=gettext_lazy("Text"),
        strip=False,
        max_length=segments.LONGEST,
        widget=forms.Textarea(attrs={"rows": 6, "data-counter": "#counter"}),
        error_messages={"required": gettext_lazy("Write the text of the template.")},
    )

    class Meta:
        model = Template
        fields = ["name", "text"]
        error_messages = {
            "name": {
                "required": gettext_lazy("Give the template a name, so that others find it."),
                "unique": gettext_lazy("There is a template of that name. Choose another name."),
            }
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["text"].widget.attrs.pop("maxlength", None)  # the browser would cut what is pasted

    def clean_text(self) -> str:
        """Which fields there are depends on whom it is sent to; whether they are closed does not."""
        text = normalize_newlines(self.cleaned_data["text"])
        if not text.strip():
            raise forms.ValidationError(_("Write the text of the template."))
        if wrong := merging.check(text, merging.fields_of(text)):
            raise forms.ValidationError(wrong)
        return text
