"""The two halves of the smsgateway wire against each other: whatever one writes, the other reads."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import errors
from providers.types import (
    AccountInfo,
    ContactInfo,
    Credits,
    DeviceInfo,
    Devices,
    GetAccount,
    ListDevices,
    MessageInfo,
    MessageType,
    Operation,
    Outcome,
    Outgoing,
    ReadMessages,
    ReadUssd,
    Request,
    Resend,
    SaveContact,
    Send,
    SendResult,
    SendUssd,
    SimInfo,
    Spread,
    Status,
    Target,
    Unsubscribe,
    UssdInfo,
)

from . import cases
from .test_smsgateway import GROUP, KIND, LIST, ONE, TWELVE
from .test_smsgateway_callbacks import IDS, LINK, MOMENTS, NUMBERS, PROBLEMS, SLOTS, STATUSES, TEXTS

GROUPS = st.just(GROUP) | st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1).filter(
    lambda text: text.strip().lower() != "null"
)
FOUND = (*STATUSES, Status.FAILED, Status.RECEIVED)
NAMES = st.text(st.characters(categories=("L", "Nd"))).filter(lambda text: text.lower() != "null")
LINKS = st.lists(LINK, max_size=3).map(tuple)
DEVICE_IDS = IDS.filter(lambda text: text != "0" and text.lower() != "null")
DEVICES = st.builds(
    Devices,
    st.sampled_from(Spread),
    st.lists(st.builds(Target, DEVICE_IDS, SLOTS), max_size=4).map(tuple),
    st.booleans(),
)
OUTGOING = st.builds(Outgoing, NUMBERS, TEXTS.filter(bool), type=st.sampled_from(MessageType), attachments=LINKS)
LISTED = st.builds(Outgoing, st.just(""), TEXTS.filter(bool), type=st.sampled_from(MessageType), attachments=LINKS)
SHARED = {"schedule": st.none() | MOMENTS, "devices": DEVICES, "priority": st.booleans()}
SENDS = st.builds(Send, st.lists(OUTGOING, min_size=1, max_size=4).map(tuple), **SHARED) | st.builds(
    Send, st.tuples(LISTED), list_id=IDS.filter(lambda text: text.lower() != "null"), **SHARED
)


@st.composite
def answered_sends(draw: st.DrawFn) -> tuple[Send, SendResult]:
    op = draw(SENDS)
    group = draw(st.just("") | GROUPS)
    outcomes = []
    for message in op.messages:
        status = draw(st.sampled_from((*STATUSES, Status.FAILED)))
        problem = draw(PROBLEMS) if status is Status.FAILED else None
        where = {"device": draw(st.just("") | IDS), "sim": draw(SLOTS)}
        outcomes.append(
            Outcome(status, "", message.number, draw(IDS), group, problem, device=where["device"], sim=where["sim"])
        )
    return op, SendResult(tuple(outcomes))


@given(answered_sends())
def test_both_halves_agree_on_a_send(pair: tuple[Send, SendResult]) -> None:
    cases.assert_round_trip(KIND, *pair)


INFOS = (
    st.builds(
        MessageInfo,
        IDS,
        NUMBERS,
        TEXTS,
        st.sampled_from(FOUND),
        type=st.sampled_from(MessageType),
        attachments=LINKS,
        device=st.just("") | IDS,
        sim=SLOTS,
        user=st.just("") | IDS,
        group=st.just("") | GROUPS,
        sent_at=st.none() | MOMENTS,
        schedule=st.none() | MOMENTS,
        expires_at=st.none() | MOMENTS,
        retries=st.integers(0, 9),
    )
    | st.builds(MessageInfo, IDS, NUMBERS, TEXTS, st.just(Status.FAILED), problem=st.none() | PROBLEMS)
    | st.builds(MessageInfo, IDS, NUMBERS, TEXTS, st.just(Status.DELIVERED), delivered_at=MOMENTS)
)
PLAIN_IDS = IDS.filter(lambda text: text.lower() != "null")
WHERE = {
    "device": st.just("") | PLAIN_IDS,
    "sim": SLOTS,
    "start": st.none() | MOMENTS,
    "end": st.none() | MOMENTS,
}
CRITERIA = {
    "id": st.just("") | PLAIN_IDS,
    "group": st.just("") | GROUPS,
    "status": st.none() | st.sampled_from(FOUND),
    **WHERE,
}
SEARCHES = st.builds(ReadMessages, **CRITERIA) | st.builds(Resend, **CRITERIA).filter(lambda op: op != Resend())


@given(SEARCHES, st.lists(INFOS, min_size=1, max_size=3).map(tuple))
def test_both_halves_agree_on_messages(op: ReadMessages | Resend, found: tuple[MessageInfo, ...]) -> None:
    cases.assert_round_trip(KIND, op, found)


AMOUNTS = st.none() | st.decimals(0, 10**9, places=2) | st.just(Decimal("1E+5"))
SIMS = st.lists(
    st.builds(SimInfo, st.integers(0, 3), NAMES, st.just("") | NUMBERS), max_size=2, unique_by=lambda sim: sim.slot
)
PHONES = st.builds(
    DeviceInfo,
    IDS | st.integers(0, 10**6).map(str),
    NAMES,
    NAMES,
    NAMES,
    NAMES,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | MOMENTS,
    SIMS.map(tuple),
)
CONTACTS = st.builds(ContactInfo, IDS, NUMBERS, NAMES, PLAIN_IDS, st.booleans())
CODES = st.from_regex(r"[*#][0-9*#]{1,10}#", fullmatch=True)
USSDS = st.builds(
    UssdInfo, IDS, CODES, st.just("") | IDS, SLOTS, st.none() | TEXTS, IDS, st.none() | MOMENTS, st.none() | MOMENTS
)


@given(st.builds(AccountInfo, st.builds(Credits, AMOUNTS)))
def test_both_halves_agree_on_a_balance(info: AccountInfo) -> None:
    cases.assert_round_trip(KIND, GetAccount(), info)


@given(st.lists(PHONES, max_size=3).map(tuple))
def test_both_halves_agree_on_devices(phones: tuple[DeviceInfo, ...]) -> None:
    cases.assert_round_trip(KIND, ListDevices(), phones)


@given(
    st.builds(SaveContact, PLAIN_IDS, NUMBERS, NAMES, st.booleans()) | st.builds(Unsubscribe, PLAIN_IDS, NUMBERS),
    CONTACTS,
)
def test_both_halves_agree_on_a_contact(op: Operation, contact: ContactInfo) -> None:
    cases.assert_round_trip(KIND, op, contact)


@given(st.builds(SendUssd, CODES, PLAIN_IDS, SLOTS), USSDS)
def test_both_halves_agree_on_a_ussd_request(op: SendUssd, info: UssdInfo) -> None:
    cases.assert_round_trip(KIND, op, info)


@given(
    st.builds(ReadUssd, id=st.just("") | PLAIN_IDS, code=st.just("") | CODES, **WHERE),
    st.lists(USSDS, min_size=1, max_size=3).map(tuple),
)
def test_both_halves_agree_on_ussd_requests(op: ReadUssd, found: tuple[UssdInfo, ...]) -> None:
    cases.assert_round_trip(KIND, op, found)


@pytest.mark.parametrize("op", [ONE, LIST, GetAccount(), ReadMessages(id="1"), SendUssd("*1#", "1")], ids=str)
@pytest.mark.parametrize("error", cases.refusal_params())
def test_both_halves_agree_on_an_error(op: Operation, error: errors.ProviderError) -> None:
    cases.assert_error_round_trip(KIND, op, error)


def test_an_expired_message_stays_one() -> None:
    cases.assert_round_trip(KIND, ReadMessages(id="1"), (MessageInfo("1", "+11234567890", "Hi", Status.EXPIRED),))


def test_the_same_request_in_the_url_is_the_same_operation() -> None:
    adapter, dialect = cases.make_adapter(KIND), cases.make_dialect(KIND)
    for op in (ONE, Send(TWELVE), LIST, ReadMessages(group=GROUP)):
        request = adapter.write(op)
        pairs = tuple(parse_qsl(request.body.decode(), keep_blank_values=True))
        assert dialect.operation(Request("GET", request.path, pairs)) == op
