"""The USSD console, its history, saved codes and schedules as pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from devices import history
from devices.models import SavedCode, Sim, UssdRequest, UssdSchedule
from providers.models import ProviderAccount
from tests.base import account, person, signed_in
from tests.devices.base import phone

pytestmark = pytest.mark.django_db
FRAGMENT = {"HX-Request": "true"}
State = UssdRequest.State
DIVERT = "**21*+15550100001#"


@pytest.fixture
def shelf() -> ProviderAccount:
    row = account("Shelf", "smsgateway")
    phone(row, "1", 0, 1, name="Desk")
    phone(row, "2", 0, name="Shed")
    return row


@pytest.fixture
def sim(shelf: ProviderAccount) -> Sim:
    return shelf.devices.get(device_id="1").sims.get(slot=0)


def dialled(
    shelf: ProviderAccount, code: str = "*100#", response: str | None = "Balance 5", **values: Any
) -> UssdRequest:
    state = State.SILENT if response is None else State.ANSWERED
    values = {"device_id": "1", "sim": 0, "state": state, **values}
    return UssdRequest.objects.create(account=shelf, code=code, response=response, **values)


def text(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


# --- Dialling ----------------------------------------------------------------------------------------


def test_a_typed_code_is_dialled_as_it_is(sim: Sim) -> None:
    answer = signed_in().post("/ussd/", {"sim": sim.pk, "code": "*150*1#"})
    assert answer["Location"] == f"/ussd/?sim={sim.pk}"
    request = UssdRequest.objects.get()
    assert (request.code, request.device_id, request.sim, request.state) == ("*150*1#", "1", 0, State.QUEUED)
    assert request.created_by and request.created_by.username == "admin"


@pytest.mark.parametrize(
    ("code", "words"), [("", "Type a code"), ("*100# ", "no spaces"), ("hello", "digits, *, # and + only")]
)
def test_what_cannot_be_dialled_stays_in_the_field(code: str, words: str, sim: Sim) -> None:
    page = signed_in().post("/ussd/", {"sim": sim.pk, "code": code})
    assert page.status_code == 200 and words in page.content.decode()
    assert f'value="{code}" placeholder' in page.content.decode()


def test_a_sim_that_waits_for_an_answer_takes_no_other_code(shelf: ProviderAccount, sim: Sim) -> None:
    dialled(shelf, response=None, state=State.ASKED)
    page = signed_in().post("/ussd/", {"sim": sim.pk, "code": "*150#"})
    assert "still waits for the answer" in page.content.decode()
    assert UssdRequest.objects.count() == 1


def test_a_sim_that_is_not_there_dials_nothing(sim: Sim) -> None:
    client = signed_in()
    for values in ({"sim": "999999999999"}, {"sim": ""}, {}):
        assert client.post("/ussd/", {**values, "code": "*100#"}).status_code == 404
    assert "This SIM is gone" in text(signed_in(person("b", "devices.view_ussdrequest")), "/ussd/?sim=999999999999")


def test_a_dangerous_code_asks_first(sim: Sim) -> None:
    client = signed_in()
    page = client.post("/ussd/", {"sim": sim.pk, "code": DIVERT}).content.decode()
    assert "Dial this code?" in page and "It changes where calls to this SIM are diverted." in page and DIVERT in page
    assert not UssdRequest.objects.exists()
    assert client.post("/ussd/", {"sim": sim.pk, "code": DIVERT, "sure": "1"}).status_code == 302
    assert UssdRequest.objects.get().code == DIVERT


def test_who_may_not_dial_dangerous_codes_is_told_what_is_missing(sim: Sim) -> None:
    client = signed_in(person("bob", "devices.view_ussdrequest", "devices.add_ussdrequest"))
    page = client.post("/ussd/", {"sim": sim.pk, "code": DIVERT, "sure": "1"}).content.decode()
    assert "needs the permission" in page
    assert not UssdRequest.objects.exists()
    assert client.post("/ussd/", {"sim": sim.pk, "code": "*100#"}).status_code == 302


def test_who_only_looks_dials_nothing(sim: Sim) -> None:
    client = signed_in(person("bob", "devices.view_ussdrequest"))
    assert client.post("/ussd/", {"sim": sim.pk, "code": "*100#"}).status_code == 403
    assert 'name="code"' not in text(client, "/ussd/")


def test_saved_codes_of_the_sim_are_offered(sim: Sim) -> None:
    Sim.objects.filter(pk=sim.pk).update(label="Blue")
    for name, values in {
        "All": {},
        "Blue": {"operator": "BLUE"},
        "Red": {"operator": "Red"},
        "Mine": {"sim": sim},
    }.items():
        SavedCode.objects.create(name=f"Code {name}", code="*1#", **values)
    page = text(signed_in(), f"/ussd/?sim={sim.pk}")
    assert [f"Code {name}" in page for name in ("All", "Blue", "Mine", "Red")] == [True, True, True, False]


# --- The thread --------------------------------------------------------------------------------------


def test_the_thread_shows_every_end_of_a_code(shelf: ProviderAccount, sim: Sim) -> None:
    saved = SavedCode.objects.create(name="Balance", code="*100#", unit="EUR")
    dialled(shelf, response="<b>12.5</b>", saved=saved, value=Decimal("12.5"))
    dialled(shelf, response=None, error="No answer in 3 minutes.")
    dialled(shelf, response=None, state=State.FAILED, error="There is no device 7.")
    dialled(shelf, response="")
    dialled(shelf, response=None, state=State.ASKED)
    page = text(signed_in(), f"/ussd/?sim={sim.pk}")
    for words in (
        "&lt;b&gt;12.5&lt;/b&gt;", "<strong>12.50 EUR</strong>", "No answer in 3 minutes.", "There is no device 7.",
        "answered without a text", "Waiting for the network",
    ):  # fmt: skip
        assert words in page
    assert page.index("Waiting for the network") < page.index("12.50 EUR")  # the newest first; drawn from below


def test_the_thread_fills_in_live(shelf: ProviderAccount, sim: Sim) -> None:
    request = dialled(shelf, response=None, state=State.ASKED)
    client = signed_in()
    version = client.get("/ussd/").context["version"]
    assert client.get(f"/ussd/thread/{sim.pk}/?v={version}", headers=FRAGMENT).status_code == 204
    UssdRequest.objects.filter(pk=request.pk).update(state=State.ANSWERED, response="12.50 EUR")
    found = client.get(f"/ussd/thread/{sim.pk}/?v={version}", headers=FRAGMENT).content.decode()
    assert found.lstrip().startswith('<div id="thread"') and "12.50 EUR" in found


def test_each_sim_has_its_own_thread(shelf: ProviderAccount, sim: Sim) -> None:
    dialled(shelf, response="mine")
    dialled(shelf, response="other slot", sim=1)
    dialled(shelf, response="other phone", device_id="2")
    page = text(signed_in(), f"/ussd/?sim={sim.pk}")
    assert "mine" in page and "other slot" not in page and "other phone" not in page


def test_a_long_thread_leads_to_the_history(shelf: ProviderAccount, sim: Sim) -> None:
    for _ in range(31):
        dialled(shelf)
    page = text(signed_in(), "/ussd/")
    assert page.count('<article id="u') == 30 and f"/ussd/history/?on={sim.device_id}|0" in page


@pytest.mark.parametrize("n", [1, 20])
def test_the_console_takes_the_same_queries(
    n: int, shelf: ProviderAccount, sim: Sim, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(n):
        SavedCode.objects.create(name=f"Code {number}", code=f"*{number}#")
        dialled(shelf)
    client = signed_in()
    with django_assert_num_queries(6):  # session, person, SIMs, balances, saved codes, thread
        client.get("/ussd/")
    with django_assert_num_queries(4):  # session, person, SIM, thread
        client.get(f"/ussd/thread/{sim.pk}/", headers=FRAGMENT)


# --- The history -------------------------------------------------------------------------------------


def codes_found(client: Client, query: str) -> list[str]:
    return [row.code for row, _sim in client.get(f"/ussd/history/?{query}").context["rows"]]


def test_the_history_is_found_by_what_the_wire_finds(shelf: ProviderAccount) -> None:
    now = timezone.now()
    dialled(shelf, "*1#", "Your balance", sent_at=now - timedelta(days=2))
    dialled(shelf, "*2#", "Menu", sim=1)
    dialled(shelf, "*3#", "IMEI", device_id="2")
    desk, shed = (shelf.devices.get(device_id=name).pk for name in "12")
    client = signed_in()
    yesterday = f"{timezone.localtime(now - timedelta(days=1)):%Y-%m-%dT%H:%M}"
    assert codes_found(client, "") == ["*3#", "*2#", "*1#"]
    assert codes_found(client, "q=BALANCE") == ["*1#"]
    assert codes_found(client, "q=*2") == ["*2#"]
    assert codes_found(client, f"on={desk}") == ["*2#", "*1#"]
    assert codes_found(client, f"on={desk}|1") == ["*2#"]
    assert codes_found(client, f"on={shed}|1") == []
    assert codes_found(client, f"from={yesterday}") == ["*3#", "*2#"]
    assert codes_found(client, f"to={yesterday}&on={desk}") == ["*1#"]
    assert codes_found(client, "on=x|y&from=soon&before=%00&to=1") == ["*3#", "*2#", "*1#"]
    assert "No code matches" in text(client, "/ussd/history/?q=nothing")


def test_the_history_goes_on_from_an_id(shelf: ProviderAccount, django_assert_num_queries: Callable) -> None:
    for number in range(120):
        dialled(shelf, f"*{number}#")
    client, seen, query = signed_in(), [], "q=balance"
    while query:
        with django_assert_num_queries(5):  # session, person, SIMs, where the search ends, rows
            page = client.get(f"/ussd/history/?{query}").context["page"]
        seen += [row.code for row in page.rows]
        query = page.older
    assert seen == [f"*{number}#" for number in reversed(range(120))]


def test_a_text_is_looked_for_in_a_stretch_at_a_time(shelf: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "SCAN", 3)
    dialled(shelf, "*7#", "rare")
    for _ in range(4):
        dialled(shelf)
    client = signed_in()
    first = client.get("/ussd/history/?q=rare").context["page"]
    assert (list(first.rows), first.cut) == ([], True)
    second = client.get(f"/ussd/history/?{first.older}").context["page"]
    assert [row.code for row in second.rows] == ["*7#"]


# --- Saved codes and schedules -----------------------------------------------------------------------


def fields(**values: str) -> dict[str, str]:
    return {"name": "Balance", "code": "*100#", "scope": "", "pattern": "", "decimal": "", **values}


def test_a_code_is_saved_for_all_for_an_operator_or_for_a_sim(sim: Sim) -> None:
    Sim.objects.filter(pk=sim.pk).update(label="Blue")
    client = signed_in()
    for scope in ("", "operator:Blue", f"sim:{sim.pk}"):
        answer = client.post("/ussd/codes/add/", fields(scope=scope, pattern="is ([0-9.]+)", warn_below="5"))
        assert answer["Location"] == "/ussd/codes/"
    found = SavedCode.objects.order_by("pk").values_list("operator", "sim", "pattern", "warn_below")
    assert list(found) == [
        (who, pk, "is ([0-9.]+)", Decimal(5)) for who, pk in (("", None), ("Blue", None), ("", sim.pk))
    ]
    saved = SavedCode.objects.get(sim=sim)
    assert f'value="sim:{sim.pk}" selected' in text(client, f"/ussd/codes/{saved.pk}/")
    client.post(f"/ussd/codes/{saved.pk}/", fields(name="Money"))
    assert SavedCode.objects.get(pk=saved.pk).sim is None
    assert client.post(f"/ussd/codes/{saved.pk}/delete/").status_code == 302
    assert not SavedCode.objects.filter(pk=saved.pk).exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"code": "*100"}, "may call somebody"),
        ({"code": "*100# "}, "no spaces"),
        ({"pattern": "("}, "This is no regular expression"),
        ({"pattern": "[0-9]+"}, "Put the number in brackets"),
        ({"scope": "operator:Nobody"}, "Select a valid choice"),
        ({"warn_below": "soon"}, "Enter a number"),
        ({"name": ""}, "Fill in “Name”."),
        ({"code": ""}, "Fill in “Code”."),
    ],
)
def test_what_cannot_be_saved_says_why(values: dict[str, str], words: str, sim: Sim) -> None:
    page = signed_in().post("/ussd/codes/add/", fields(**values))
    assert page.status_code == 200 and words in page.content.decode()
    assert not SavedCode.objects.exists()


def test_saving_is_no_way_around_the_permission(sim: Sim) -> None:
    may = [f"devices.{verb}_savedcode" for verb in ("view", "add", "change")]
    bob = signed_in(person("bob", *may))
    saved = SavedCode.objects.create(name="Balance", code="*100#")
    allowed = signed_in(person("carol", *may, "devices.dial_dangerous_ussd"))
    for url in ("/ussd/codes/add/", f"/ussd/codes/{saved.pk}/"):
        page = bob.post(url, fields(code=DIVERT, sure="on")).content.decode()
        assert "needs the permission" in page and 'name="sure"' not in page
        assert 'name="sure"' in allowed.post(url, fields(code=DIVERT)).content.decode()
        assert allowed.post(url, fields(code=DIVERT, sure="on")).status_code == 302
    assert SavedCode.objects.filter(code=DIVERT).count() == 2


def test_a_pattern_is_tried_on_the_last_answer(shelf: ProviderAccount, sim: Sim) -> None:
    dialled(shelf, response="older")
    dialled(shelf, response="Your balance is 12.50 EUR.")
    saved = SavedCode.objects.create(name="Balance", code="*100#", unit="EUR")
    client, url = signed_in(), f"/ussd/codes/{saved.pk}/"
    assert "Your balance is 12.50 EUR." in text(client, url)
    tried = {
        "is ([0-9.]+)": "<strong>12.50 EUR</strong>",
        "bonus ([0-9.]+)": "finds no number",
        "(": "no regular expression",
        "": "Write a pattern first",
    }
    for pattern, words in tried.items():
        values = fields(pattern=pattern, unit="EUR", sample="Your balance is 12.50 EUR.") | {"try": "1"}
        fragment = client.post(url, values, headers=FRAGMENT).content.decode()
        assert words in fragment and fragment.startswith('<div id="tried"')
        page = client.post(url, values).content.decode()  # without JavaScript
        assert words in page and "<html" in page
    assert SavedCode.objects.get().pattern == ""


def test_a_code_is_scheduled_for_a_sim(sim: Sim) -> None:
    saved = SavedCode.objects.create(name="Balance", code="*100#")
    client = signed_in()
    values = {"saved": saved.pk, "sim": sim.pk, "every": "86400", "next_at": "2030-01-01T08:00", "enabled": "on"}
    assert client.post("/ussd/schedules/add/", values)["Location"] == "/ussd/codes/"
    row = UssdSchedule.objects.get()
    assert (row.sim, row.every, row.created_by.username) == (sim, 86_400, "admin")  # type: ignore[union-attr]
    assert "Every day" in text(client, "/ussd/codes/") and "2030-01-01T08:00" in text(
        client, f"/ussd/schedules/{row.pk}/"
    )
    client.post(f"/ussd/schedules/{row.pk}/", {**values, "every": "3600", "enabled": ""})
    row.refresh_from_db()
    assert (row.every, row.enabled) == (3600, False)
    client.post(f"/ussd/schedules/{row.pk}/delete/")
    assert not UssdSchedule.objects.exists()


def test_what_cannot_be_scheduled_says_why(shelf: ProviderAccount, sim: Sim) -> None:
    other = SavedCode.objects.create(name="Other", code="*1#", sim=shelf.devices.get(device_id="2").sims.get())
    divert = SavedCode.objects.create(name="Divert", code=DIVERT)
    values = {"sim": sim.pk, "every": "3600", "next_at": "2030-01-01T08:00", "enabled": "on"}
    client = signed_in()
    assert (
        "not meant for this SIM" in client.post("/ussd/schedules/add/", {**values, "saved": other.pk}).content.decode()
    )
    assert "Confirm" in client.post("/ussd/schedules/add/", {**values, "saved": divert.pk}).content.decode()
    assert client.post("/ussd/schedules/add/", {**values, "saved": divert.pk, "sure": "on"}).status_code == 302
    for never in ("0001-01-01T00:00", "9999-12-31T23:59"):
        page = client.post("/ussd/schedules/add/", {**values, "saved": divert.pk, "sure": "on", "next_at": never})
        assert "in the next ten years" in page.content.decode()
    assert "Make a choice for “SIM”." in client.post("/ussd/schedules/add/", values | {"sim": ""}).content.decode()
    bob = signed_in(person("bob", "devices.add_ussdschedule"))
    page = bob.post("/ussd/schedules/add/", {**values, "saved": divert.pk, "sure": "on"})
    assert "needs the permission" in page.content.decode()


@pytest.mark.parametrize(
    ("url", "permission"),
    [
        ("/ussd/", "devices.view_ussdrequest"),
        ("/ussd/history/", "devices.view_ussdrequest"),
        ("/ussd/thread/{sim}/", "devices.view_ussdrequest"),
        ("/ussd/codes/", "devices.view_savedcode"),
        ("/ussd/codes/add/", "devices.add_savedcode"),
        ("/ussd/codes/{code}/", "devices.change_savedcode"),
        ("/ussd/codes/{code}/delete/", "devices.delete_savedcode"),
        ("/ussd/schedules/add/", "devices.add_ussdschedule"),
        ("/ussd/schedules/{schedule}/", "devices.change_ussdschedule"),
        ("/ussd/schedules/{schedule}/delete/", "devices.delete_ussdschedule"),
    ],
)
def test_every_page_needs_its_permission(url: str, permission: str, sim: Sim) -> None:
    code = SavedCode.objects.create(name="Balance", code="*100#")
    url = url.format(sim=sim.pk, code=code.pk, schedule=UssdSchedule.objects.create(saved=code, sim=sim).pk)
    ask = "post" if "delete" in url else "get"
    assert getattr(signed_in(person("bob")), ask)(url).status_code == 403
    assert getattr(signed_in(person("carol", permission)), ask)(url).status_code in (200, 302)
