"""Imports without a browser: files, plans and what became of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from contacts import import_files, importing
from contacts.importing import Plan
from contacts.models import Contact, Import

A, B, C = "+37255500001", "+37255500002", "+37255500003"


def draft(text: str | bytes, name: str = "people.csv") -> Import:
    data = text.encode() if isinstance(text, str) else text
    return import_files.receive(name, io.BytesIO(data))


def plan(*columns: str, **values: Any) -> Plan:
    known = {"encoding": "utf-8", "delimiter": ",", "header": False}
    return Plan(columns=columns or ("number", "name"), **{**known, **values})


def imported(text: str | bytes, *columns: str, **values: Any) -> Import:
    """The import of a file, at its end."""
    run = draft(text)
    assert importing.begin(run, plan(*columns, **values))
    return list(importing.run_here(run))[-1]


def counts(run: Import) -> tuple[int, int, int, int, int]:
    return run.rows, run.added, run.updated, run.skipped, run.rejected


def people(*names: str) -> list[Sequence[Any]]:
    return list(Contact.objects.order_by("number").values_list("number", *(names or ("name",))))
