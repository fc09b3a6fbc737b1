from __future__ import annotations

from pathlib import Path

import pytest

from providers.types import Status
from sandbox.outcomes import FATES, NORMAL, digits, fate

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text()


@pytest.mark.parametrize("code", list(FATES))
def test_every_number_is_documented(code: str) -> None:
    assert f"| …{code} | {FATES[code].says} |" in DOCS


@pytest.mark.parametrize(
    "number", ["+11234567890", "+1234567890", "+9876543210", "12812345678", "+12125551234", "+13235554567", ""]
)
def test_the_numbers_of_the_documentations_are_normal(number: str) -> None:
    assert digits(number) == ""
    assert fate(digits(number)) is NORMAL


@pytest.mark.parametrize("code", list(FATES))
def test_reports_agree_with_the_end(code: str) -> None:
    plan = FATES[code]
    assert [step.after for step in plan.reports] == sorted(step.after for step in plan.reports)
    reported = {step.status for step in plan.reports} - {Status.SENT}
    assert reported == (set() if plan.end is None else {plan.final})
