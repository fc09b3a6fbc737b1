"""How a file is chosen, and how it is to be read: encoding, separator, columns, and what becomes of known numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import phonenumbers
from django import forms
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import encodings, fields, import_files, import_guess, import_rows, import_write, tables
from .import_rows import FIELD, LISTS, NAME, NUMBER, Reader
from .importing import Plan
from .models import ContactList, Import
from .tables import Block, Row

SHOWN = 8  # rows of the preview
OTHER = "other"  # a separator that is typed

ROLES: Mapping[str, Promise | str] = {
    "": gettext_lazy("Leave out"),
    NUMBER: gettext_lazy("Number"),
    NAME: gettext_lazy("Name"),
    import_rows.LANGUAGE: gettext_lazy("Language"),
    import_rows.ZONE: gettext_lazy("Time zone"),
    import_rows.OPTED_OUT: gettext_lazy("Opted out"),
    LISTS: gettext_lazy("Lists"),
    import_rows.UNSUBSCRIBED: gettext_lazy("Unsubscribed from lists"),
    FIELD: gettext_lazy("Free field …"),
}
DUPLICATES = {
    import_write.SKIP: gettext_lazy("Leave the contact as it is"),
    import_write.FILL: gettext_lazy("Fill in what is missing"),
    import_write.UPDATE: gettext_lazy("Replace what the file has a value for"),
}


class Upload(forms.Form):
    token = forms.UUIDField(widget=forms.HiddenInput)
    file = forms.FileField(
        label=gettext_lazy("File"),
        allow_empty_file=True,  # it has a sentence of its own
        help_text=gettext_lazy("CSV or Excel (.xlsx), of any size."),
        widget=forms.FileInput({"accept": ".csv,.tsv,.txt,.xlsx,text/csv"}),
    )


class Reading(forms.Form):
    """How a draft is to be imported. ``plan()`` once it is valid.

    Of each column ``column-3`` says what it is, and ``field-3`` names a free field; they count from 0. What was said
    of them holds only for the table that was ``seen``: read another way, they are guessed anew.
    """

    seen = forms.CharField(widget=forms.HiddenInput, required=False)
    encoding = forms.ChoiceField(label=gettext_lazy("Encoding"), choices=list(encodings.LABELS.items()))
    delimiter = forms.ChoiceField(
        label=gettext_lazy("Separator"), choices=[*tables.DELIMITERS.items(), (OTHER, gettext_lazy("Another …"))]
    )
    other = forms.CharField(label=gettext_lazy("Another separator"), required=False, max_length=1, strip=False)
    header = forms.BooleanField(label=gettext_lazy("The first row names the columns"), required=False)
    region = forms.ChoiceField(label=gettext_lazy("Country of numbers without one"), required=False)
    duplicates = forms.ChoiceField(
        label=gettext_lazy("When a number is known already"),
        choices=list(DUPLICATES.items()),
        help_text=gettext_lazy("Whoever opted out stays opted out, whatever the file says."),
    )
    lists = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Put everybody on"),
        queryset=ContactList.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    new_list = forms.CharField(label=gettext_lazy("Put everybody on a new list"), required=False, max_length=100)

    def __init__(self, run: Import, data: Any = None, check: bool = False) -> None:
        """``data`` None: everything is guessed. ``check``: it is to be valid; else nobody is told of mistakes yet."""
        self.run = run
        values = self._values(data)
        super().__init__(values if check else None, initial=values)
        self.fields["lists"].queryset = ContactList.objects.all()  # type: ignore[attr-defined]
        self.fields["region"].choices = regions()  # type: ignore[attr-defined]
        for at in range(self.peek.width):
            self.fields[f"column-{at}"] = forms.ChoiceField(choices=list(ROLES.items()), required=False)
            self.fields[f"field-{at}"] = forms.CharField(required=False, max_length=fields.LONGEST_NAME)

    def _values(self, data: Any) -> dict[str, Any]:
        given = data if data is not None else {}
        encoding = given.get("encoding")
        self.encoding = encoding if encoding in encodings.LABELS else self.run.options["guess"]
        is_other, other = given.get("delimiter") == OTHER, given.get("other", "")
        wanted = other if is_other else given.get("delimiter", "")
        self.source = import_files.source(self.run)
        self.peek = tables.peek(self.source, self.encoding, wanted if is_separator(wanted) else "")
        delimiter = self.peek.delimiter
        self.has_header = "header" in given if data is not None else tables.has_header(self.peek.rows)
        seen = f"{self.encoding} {ord(delimiter)} {self.has_header} {self.peek.width}"
        values: dict[str, Any] = {
            "region": settings.SMSDASH_DEFAULT_REGION or "",
            "duplicates": import_write.SKIP,
            **{name: given[name] for name in ("region", "duplicates", "new_list") if name in given},
            "lists": given.getlist("lists") if data is not None else [],
            "seen": seen,
            "encoding": self.encoding,
            "delimiter": OTHER if is_other else delimiter,
            "other": other,
            "header": self.has_header,
        }
        return values | self._columns(given, given.get("seen") == seen)

    def _columns(self, given: Any, keep: bool) -> dict[str, str]:
        """What is said of each column, or guessed."""
        values = {}
        for at, guess in enumerate(import_guess.columns(self.heading, self.below, self.peek.width)):
            role, name = (FIELD, guess.removeprefix(FIELD)) if guess.startswith(FIELD) else (guess, "")
            values[f"column-{at}"] = given.get(f"column-{at}", "") if keep else role
            values[f"field-{at}"] = given.get(f"field-{at}", "") if keep else name
        self.columns = [
            FIELD + values[f"field-{at}"] if values[f"column-{at}"] == FIELD else values[f"column-{at}"]
            for at in range(self.peek.width)
        ]
        return values

    @property
    def heading(self) -> list[str] | None:
        if not self.has_header or not self.peek.rows or self.peek.rows[0].fault:
            return None
        return [import_rows.clean(cell) for cell in self.peek.rows[0].cells]

    @property
    def below(self) -> tuple[Row, ...]:
        return self.peek.rows[1 if self.has_header else 0 :]

    @property
    def described(self) -> list[dict[str, Any]]:
        """The columns, with what the page shows of each."""
        return [
            {
                "number": at + 1,
                "heading": (self.heading or [])[at : at + 1],
                "values": [row.cells[at] for row in self.below if at < len(row.cells) and row.cells[at]][:3],
                "role": self[f"column-{at}"],
                "field": self[f"field-{at}"],
            }
            for at in range(self.peek.width)
        ]

    @property
    def sample(self) -> list[dict[str, Any]]:
        """What becomes of the first rows: a person, or the reason why not."""
        if self.columns.count(NUMBER) != 1:
            return []
        try:
            reader = Reader(self.columns, self["region"].value() or None, self._is_export)
        except ValueError:
            return []
        found = []
        for row in self.below[:SHOWN]:
            block = Block(row.number, [row.cells], {0: row.fault} if row.fault else {}, tables.START)
            people, rejected = reader.read(block)
            sentence = import_rows.REASONS[rejected[0].reason] if rejected else ""
            found.append({"row": row, "person": next(iter(people), None), "reason": sentence})
        return found

    @property
    def _is_export(self) -> bool:
        return bool(self.heading and import_guess.is_export(self.heading))

    # -- once it is to be valid --

    def clean_other(self) -> str:
        other: str = self.cleaned_data["other"]
        if self.cleaned_data.get("delimiter") == OTHER and not is_separator(other):
            raise forms.ValidationError(_("Write one character that separates cells; no letter, digit, + or quote."))
        return other

    def clean_new_list(self) -> str:
        name = " ".join(self.cleaned_data["new_list"].split())
        if name and ContactList.objects.filter(name=name).exists():
            raise forms.ValidationError(_("There is a list of that name. Choose it above."))
        return name

    def clean(self) -> None:
        if NUMBER not in self.columns:
            raise forms.ValidationError(_("Say which column holds the phone numbers."))
        named = [column for column in self.columns if column and column != NAME]
        if len(named) > len(set(named)):
            raise forms.ValidationError(_("Two columns are for the same. Leave one of them out."))
        for at, column in enumerate(self.columns):
            if column.startswith(FIELD) and not self._is_export:
                try:
                    self.columns[at] = FIELD + fields.clean_name(column.removeprefix(FIELD))
                except ValueError as error:
                    self.add_error(f"field-{at}", str(error))

    def plan(self) -> Plan:
        """Makes the new list."""
        said = self.cleaned_data
        lists = [each.pk for each in said["lists"]]
        if said["new_list"]:
            new, made = ContactList.objects.get_or_create(name=said["new_list"])
            lists.append(new.pk)
            if made:
                import_write.made_list(self.run, new)
        return self.plan_with(said["region"], said["duplicates"], lists)

    # -- by guess alone --

    @classmethod
    def guessed(cls, run: Import, encoding: str = "", delimiter: str = "") -> Reading:
        """As the file seems to be; what is given is not guessed."""
        form = cls(run)
        if encoding or delimiter:
            form.encoding = encoding or form.encoding
            form.peek = tables.peek(form.source, form.encoding, delimiter)
            form.has_header = tables.has_header(form.peek.rows)
            form._columns({}, keep=False)
        return form

    def plan_with(self, region: str, duplicates: str, lists: Sequence[int]) -> Plan:
        """Raises ValueError for a region that does not exist."""
        Reader(self.columns, region or None)
        return Plan(
            encoding=self.encoding,
            delimiter=self.peek.delimiter,
            header=self.has_header,
            columns=self.columns,
            region=region,
            duplicates=duplicates,
            lists=lists,
            exact=self._is_export,
            heading=self.heading or (),
        )


def is_separator(text: str) -> bool:
    return len(text) == 1 and not text.isalnum() and text not in '+"\r\n\x00'


def regions() -> list[tuple[str, str]]:
    """The countries that have numbers, by code."""
    codes = sorted(phonenumbers.SUPPORTED_REGIONS)
    known = [(code, f"{code} (+{phonenumbers.country_code_for_region(code)})") for code in codes]
    return [("", _("None: refuse numbers without a country")), *known]
