"""Reading what programs in the wild write: numbers, arrays of PHP, texts in other encodings."""

from __future__ import annotations

import pytest

from providers import wire
from providers.types import Request

pytestmark = pytest.mark.once

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "written",
    [
        "+12125551234",
        " 12125551234",
        "0012125551234",
        "+1 (212) 555-1234",
        "\u202a+1 (212)\u00a0555\u20111234\u202c",
        "\ufeff1.212.555.1234\u200b",
    ],
)
def test_a_number_is_read_from_any_spelling(written: str) -> None:
    assert wire.clean_number(written) == "+12125551234"


def test_numbers_may_be_integers() -> None:
    assert wire.recipients([12125551234, "+13235554567,0013105550100"], "to") == [
        "+12125551234",
        "+13235554567",
        "+13105550100",
    ]
    for wrong in (True, 1.5, {"a": 1}):
        with pytest.raises(ValueError, match="must be a string"):
            wire.recipients(wrong, "to")


def test_an_array_of_php_is_one_value() -> None:
    body = b"to[]=1&to%5B%5D=2&devices[0]=3&devices[1]=4%7C0&msg=x&msg=y&a[b]=5"
    read = wire.read_form(Request("POST", "", (("to[]", "0"),), FORM, body))
    assert read == {"to": "0,1,2", "devices": "3,4|0", "msg": "y", "a[b]": "5"}


@pytest.mark.parametrize("body", [b"msg=%E9t%E9", b"msg=\xe9t\xe9"])
def test_a_form_in_another_encoding_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(ValueError, match="not in UTF-8"):
        wire.read_form(Request("POST", "", (), FORM, body))
