"""What the imaginary network answers to USSD codes, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNKNOWN = "Connection problem or invalid MMI code."


@dataclass(frozen=True, slots=True)
class Answer:
    """``after`` seconds; None: never. ``told``: how often it is posted. ``early``: before the request is answered.
    ``fault``: how the request's answer is spoilt, as in outcomes.py."""

    text: str
    after: float | None = 1.0
    told: int = 1
    early: bool = False
    fault: str = ""


BALANCE = "Your balance is 12.50 EUR. Valid until 31.12.2030."

MENUS: Mapping[str, Answer] = {
    "*100#": Answer(BALANCE),
    "*150#": Answer("Welcome.\n1. Balance\n2. Top up\n3. Offers\n4. My number"),
    "*150*1#": Answer(BALANCE),
    "*150*2#": Answer("To top up, dial *150*2*voucher#."),
    "*150*3#": Answer("500 SMS for 2.00 EUR: dial *150*3*1#."),
    "*150*3*1#": Answer("500 SMS were added. Thank you."),
    "*#06#": Answer("IMEI 1: 490154203237518\nIMEI 2: 490154203237526"),
    "*#21#": Answer("Call forwarding: not active."),
    "*903#": Answer("", after=None),
    "*905#": Answer(BALANCE, told=2),
    "*907#": Answer(BALANCE, fault="break"),
    "*914#": Answer(BALANCE, after=8.0),
    "*915#": Answer(BALANCE, after=0.0, early=True),
}
SERVICES = {"**": "Registration was successful.", "##": "Erasure was successful."}


def answer(code: str) -> Answer:
    code = code.strip()
    return MENUS.get(code) or Answer(SERVICES.get(code[:2], UNKNOWN))
