"""The part of the compose form that is about people: the lists that get the message, and its merge fields."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.models import ContactList
from contacts.recipients import Recipients

from . import audience, merging
from .audience import Reach, Sample

SEES_PEOPLE = "contacts.view_contact"


class Addressees(forms.Form):
    """Once it is valid, ``reach`` tells how many people the lists and the typed numbers are together.

    Lists and merge fields show who is known here, so they are for people who may see contacts.
    """

    lists = forms.MultipleChoiceField(
        label=gettext_lazy("Lists"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": gettext_lazy("A list is gone, or you may not send to it. Choose anew.")},
    )

    recipients: Recipients

    def offer_lists(self, user: Any) -> None:
        """``user`` None: somebody who may everything."""
        self.sees_people = user is None or user.has_perm(SEES_PEOPLE)
        if not self.sees_people:
            self.fields["text"].help_text = ""  # it tells of merge fields
        found = ContactList.objects.all() if self.sees_people else ()
        self.offered = {str(one.pk): one for one in found}
        self.fields["lists"].choices = [(pk, one.name) for pk, one in self.offered.items()]

    @property
    def list_boxes(self) -> list[tuple[Any, ContactList]]:
        """Each checkbox with its list."""
        return list(zip(self["lists"], self.offered.values(), strict=True))

    @property
    def chosen_lists(self) -> list[ContactList]:
        return [self.offered[pk] for pk in self.cleaned_data.get("lists", ())]

    @cached_property
    def reach(self) -> Reach:
        """To the last one only where the form asks for it (``exact``), or nobody seems to be left."""
        found = audience.reach(self.chosen_lists, self.recipients, quick="exact" not in self.data)
        return found if found.kept else audience.reach(self.chosen_lists, self.recipients)

    @cached_property
    def sample(self) -> Sample:
        return audience.sample(self.chosen_lists, self.recipients.kept)

    @cached_property
    def known_fields(self) -> list[str]:
        return audience.known_fields(self.chosen_lists, self.sample)

    def check_fields(self, text: str) -> None:
        """Raises ValueError with sentences for merge fields that cannot be filled in."""
        if text == merging.render(text, {}) and not merging.check(text, ()):
            return
        if merging.fields_of(text) and not self.sees_people:
            sentence = _("Merge fields are for people who may see contacts. Ask an administrator, or leave them out.")
            raise ValueError(sentence)
        if wrong := merging.check(text, self.known_fields):
            raise ValueError(" ".join(wrong[:3]))
