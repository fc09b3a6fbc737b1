from __future__ import annotations

import pytest

from devices.ussd_codes import danger, wrong

HARMLESS = [
    "*100#", "*150#", "*150*1#", "#123#", "#100*1#", "*#06#", "*#21#", "*#61#", "*#62#",
    "*#67#", "*#002#", "*#43#", "*#21*11#", "*2100#", "*611#", "*0021#", "*123*4*+15550100001#", "*121#", "*99#",
]  # fmt: skip
DANGEROUS = {
    "**21*+15550100001#": "diverted",
    "*21*+15550100001#": "diverted",
    "*21#": "diverted",
    "**61*+15550100001*11*20#": "diverted",
    "**62*+15550100001#": "diverted",
    "**67*+15550100001#": "diverted",
    "**002*+15550100001#": "diverted",
    "**004*+15550100001#": "diverted",
    "##002#": "diverted",
    "##21#": "diverted",
    "#21#": "diverted",
    "*002*1#": "diverted",
    "*33*0000#": "may make or take",
    "#330*0000#": "may make or take",
    "*31#": "shown to callers",
    "*43#": "how the network treats",
    "**04*1234*5678*5678#": "PIN",
    "**05*12345678*1234*1234#": "PIN",
    "**03*330*0000*1111*1111#": "PIN or a password",
    "**999#": "registers or erases",
    "##123#": "registers or erases",
    "*#*#7780#*#*": "does not end in #",
    "*#06#**21*1#": "not the form of a question",
    "*100#**21*1#": "not the form of a question",
    "+15550100001": "may call somebody",
    "112": "may call somebody",
    "*100": "may call somebody",
    " * * 2 1 * 1 #": "diverted",
    "＊＊21＊1＃": "diverted",
}


@pytest.mark.parametrize("code", HARMLESS)
def test_questions_and_the_networks_own_codes_are_harmless(code: str) -> None:
    assert danger(code) == ""


@pytest.mark.parametrize("code", list(DANGEROUS))
def test_what_changes_something_is_said(code: str) -> None:
    assert DANGEROUS[code] in danger(code)


@pytest.mark.parametrize("code", ["", " ", "*100# ", "call me", "*1\n#", "*" * 183, "*١٠٠#"])
def test_what_nobody_can_dial_gets_a_sentence(code: str) -> None:
    assert wrong(code)


@pytest.mark.parametrize("code", ["*100#", "**21*+15550100001#", "*" * 182])
def test_what_can_be_dialled_is_taken_as_it_is(code: str) -> None:
    assert wrong(code) == ""
