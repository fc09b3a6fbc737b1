"""What forms say of a field that was left empty: which, and what to do."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext as _

DJANGOS = forms.Field.default_error_messages["required"]


class Sentences(forms.BaseForm):
    """Comes before Form or ModelForm. A field that has words of its own for it keeps them."""

    def full_clean(self) -> None:
        for name, field in self.fields.items():
            if field.error_messages["required"] == DJANGOS:
                field.error_messages["required"] = _sentence(field) % {"field": self[name].label}
        super().full_clean()


def _sentence(field: forms.Field) -> str:
    return _("Make a choice for “%(field)s”.") if isinstance(field, forms.ChoiceField) else _("Fill in “%(field)s”.")
