"""What the imaginary network answers to USSD codes."""

from __future__ import annotations

from collections.abc import Mapping

ANSWER_AFTER = 1.0  # seconds
UNKNOWN = "Connection problem or invalid MMI code."

MENUS: Mapping[str, str] = {
    "*100#": "Your balance is 12.50 EUR. Valid until 31.12.2030.",
    "*150#": "Welcome.\n1. Balance\n2. Top up\n3. Offers\n4. My number",
    "*150*1#": "Your balance is 12.50 EUR. Valid until 31.12.2030.",
    "*150*2#": "To top up, dial *150*2*voucher#.",
    "*150*3#": "500 SMS for 2.00 EUR: dial *150*3*1#.",
    "*150*3*1#": "500 SMS were added. Thank you.",
    "*#06#": "IMEI 1: 490154203237518\nIMEI 2: 490154203237526",
}


def answer(code: str) -> str:
    return MENUS.get(code.strip(), UNKNOWN)
