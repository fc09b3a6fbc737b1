"""USSD codes against the sandbox, over real HTTP: dialled once, answered by post or by question, or not at all."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from devices import ussd
from devices.models import Balance, Reading, SavedCode, Sim, UssdRequest
from messaging import posted
from providers.models import Exchange, ProviderAccount
from providers.types import UssdReply
from sandbox.models import UssdRequest as Dialled
from tests.base import administrator, dated, person
from tests.devices.base import let_the_network_answer, let_time_pass, phone, shelf_at, sim_of

pytestmark = pytest.mark.django_db(transaction=True)
State = UssdRequest.State


@pytest.fixture
def shelf(live_server: LiveServer) -> ProviderAccount:
    return shelf_at(live_server.url)


@pytest.fixture
def quiet(live_server: LiveServer) -> ProviderAccount:
    """Its provider posts nothing, so that answers are asked for."""
    return shelf_at(live_server.url, posts=False)


def dial(shelf: ProviderAccount, code: str = "*100#", **values: Any) -> UssdRequest:
    """Asked for, and taken by a worker."""
    request = ussd.ask(sim_of(shelf), code, None, **values)
    ussd.work(request.pk)
    posted.work()  # the answer may have come already
    request.refresh_from_db()
    return request


def fresh(request: UssdRequest) -> UssdRequest:
    return UssdRequest.objects.get(pk=request.pk)


def balance_code(**values: Any) -> SavedCode:
    return SavedCode.objects.create(
        **{"name": "Balance", "code": "*100#", "pattern": r"balance is ([\d.]+)", "unit": "EUR", **values}
    )


# --- Dialled -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["*100#", "#123#", "*150*1#", "*#06#", "*100*+15550100001*00#", "*0001#"])
def test_the_network_gets_exactly_what_was_typed(shelf: ProviderAccount, code: str) -> None:
    request = dial(shelf, code)
    dialled = Dialled.objects.get()
    assert (dialled.code, dialled.device, dialled.sim) == (code, "1", 0)
    assert (request.state, request.provider_id) == (State.ASKED, str(dialled.pk))


def test_the_sim_that_was_picked_dials(shelf: ProviderAccount) -> None:
    ussd.work(ussd.ask(sim_of(shelf, "2", 1), "*100#", None).pk)
    assert Dialled.objects.values_list("device", "sim").get() == ("2", 1)


def test_a_code_is_dialled_once_whoever_works(shelf: ProviderAccount) -> None:
    request = ussd.ask(sim_of(shelf), "*100#", None)

    def work() -> None:
        ussd.work(request.pk)
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Dialled.objects.count() == 1


@pytest.mark.parametrize("code", ["", " *100#", "*100# ", "*100\n#", "balance", "*１００#", "*1#" * 61])
def test_what_cannot_be_dialled_gets_a_sentence(shelf: ProviderAccount, code: str) -> None:
    with pytest.raises(ussd.Refused, match="code"):
        ussd.ask(sim_of(shelf), code, None)
    assert not UssdRequest.objects.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"enabled": False}, "is switched off in its app"),
        ({"gone_at": timedelta()}, "no longer lists"),
    ],
)
def test_a_phone_that_is_not_there_dials_nothing(shelf: ProviderAccount, change: dict[str, Any], words: str) -> None:
    shelf.devices.update(**dated(change))
    with pytest.raises(ussd.Refused, match=words):
        ussd.ask(sim_of(shelf), "*100#", None)


def test_an_account_in_trouble_dials_nothing(shelf: ProviderAccount) -> None:
    shelf.pause("The key was refused.", "key_refused")
    with pytest.raises(ussd.Refused, match="The key was refused"):
        ussd.ask(sim_of(shelf), "*100#", None)


def test_what_the_provider_refuses_says_why(shelf: ProviderAccount) -> None:
    phone(shelf, "77", 0)
    request = ussd.ask(sim_of(shelf, "77"), "*100#", None)
    ussd.work(request.pk)
    assert (fresh(request).state, fresh(request).poll_at) == (State.FAILED, None)
    assert "There is no device 77" in fresh(request).error


def test_what_surely_did_not_go_out_is_dialled_again(shelf: ProviderAccount) -> None:
    ProviderAccount.objects.update(base_url="http://127.0.0.1:9")
    request = dial(shelf)
    assert (request.state, "could not be reached" in request.error) == (State.QUEUED, True)
    ProviderAccount.objects.update(base_url=shelf.base_url)
    ussd.work(request.pk)
    assert (fresh(request).state, fresh(request).error) == (State.ASKED, "")


def test_the_exchange_is_kept(shelf: ProviderAccount) -> None:
    dial(shelf)
    assert Exchange.objects.filter(verb="send_ussd", status=200, open=False).count() == 1


# --- One at a time -----------------------------------------------------------------------------------


def test_a_sim_answers_one_code_at_a_time(shelf: ProviderAccount) -> None:
    dial(shelf)
    with pytest.raises(ussd.Busy, match="still waits for the answer"):
        ussd.ask(sim_of(shelf), "*150#", None)
    assert ussd.ask(sim_of(shelf, "1", 1), "*150#", None).pk
    let_the_network_answer()
    assert dial(shelf, "*150#").state == State.ASKED


def test_of_two_clicks_at_once_one_dials(shelf: ProviderAccount) -> None:
    sim, asked, refused = sim_of(shelf), [], []

    def click() -> None:
        try:
            asked.append(ussd.ask(sim, "*100#", None))
        except ussd.Busy as error:
            refused.append(error)
        connection.close()

    clicks = [threading.Thread(target=click) for _ in range(4)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert (len(asked), len(refused)) == (1, 3)


def test_what_nobody_answers_does_not_hold_the_sim_for_ever(shelf: ProviderAccount) -> None:
    request = dial(shelf, "*903#")
    let_time_pass(request, ussd.TIME_OUT.total_seconds())
    assert dial(shelf, "*100#").state == State.ASKED
    assert fresh(request).state == State.SILENT


# --- Answered by post --------------------------------------------------------------------------------


def test_the_answer_is_posted_to_our_callback(shelf: ProviderAccount) -> None:
    request = dial(shelf)
    let_the_network_answer()
    found = fresh(request)
    assert (found.state, found.poll_at) == (State.ANSWERED, None)
    assert found.response == "Your balance is 12.50 EUR. Valid until 31.12.2030."
    assert found.answered_at is not None


def test_an_answer_may_come_before_that_to_the_request(shelf: ProviderAccount) -> None:
    balance_code(code="*915#")
    request = dial(shelf, "*915#")
    assert (request.state, request.value) == (State.ANSWERED, Decimal("12.5"))
    assert request.provider_id == str(Dialled.objects.get().pk)
    assert Reading.objects.count() == 1


def test_an_answer_that_comes_twice_counts_once(shelf: ProviderAccount) -> None:
    balance_code(code="*905#")
    request = dial(shelf, "*905#")
    let_the_network_answer()
    assert fresh(request).state == State.ANSWERED
    assert (Dialled.objects.get().step, Reading.objects.count()) == (2, 1)


def test_the_second_of_two_posts_is_no_answer_to_the_next_request(shelf: ProviderAccount) -> None:
    first = dial(shelf)
    reply = UssdReply("*100#", "12.50", "1", 0, first.provider_id, timezone.now())
    assert ussd.answer(shelf, reply) == first
    second = dial(shelf)
    assert ussd.answer(shelf, reply) is None
    assert fresh(second).response is None


def test_an_answer_without_an_id_belongs_to_the_code_and_sim(shelf: ProviderAccount) -> None:
    request = UssdRequest.objects.create(account=shelf, device_id="1", sim=0, code="*100#", state=State.ASKED)
    for other in (("*150#", "1", 0), ("*100#", "2", 0), ("*100#", "1", 1)):
        assert ussd.answer(shelf, UssdReply(other[0], "No", other[1], other[2])) is None
    assert ussd.answer(shelf, UssdReply("*100#", "Yes", "1", 0)) == request
    assert ussd.answer(shelf, UssdReply("*100#", "Again", "1", 0)) is None
    assert fresh(request).response == "Yes"


def test_the_answer_to_somebody_elses_request_is_not_ours(shelf: ProviderAccount) -> None:
    request = dial(shelf)
    assert ussd.answer(shelf, UssdReply("*100#", "No", "1", 0, "999999")) is None
    assert fresh(request).response is None


def test_an_empty_text_gives_way_to_the_answer(shelf: ProviderAccount) -> None:
    request = dial(shelf)
    ussd.answer(shelf, UssdReply("*100#", "", "1", 0, request.provider_id))
    ussd.answer(shelf, UssdReply("*100#", "12.50\x00", "1", 0, request.provider_id))
    assert fresh(request).response == "12.50\ufffd"


def test_a_late_answer_is_still_taken(shelf: ProviderAccount) -> None:
    request = dial(shelf)
    let_time_pass(request, ussd.TIME_OUT.total_seconds())
    ussd.expire()
    let_the_network_answer()
    assert (fresh(request).state, fresh(request).error) == (State.ANSWERED, "")


# --- Answered when asked -----------------------------------------------------------------------------


@pytest.mark.usefixtures("still")
def test_the_answer_is_asked_for_where_nobody_posts_it(quiet: ProviderAccount) -> None:
    request = dial(quiet)
    let_the_network_answer()
    ussd.work(request.pk)
    assert fresh(request).state == State.ASKED  # its time has not come
    let_time_pass(request, 3)
    assert ussd.due() == [request.pk]
    ussd.work(request.pk)
    assert (fresh(request).state, fresh(request).polls) == (State.ANSWERED, 1)


@pytest.mark.usefixtures("still")
def test_it_asks_less_and_less_often_until_it_gives_up(quiet: ProviderAccount) -> None:
    request = dial(quiet, "*903#")
    asked_after, spent = [], 0.0
    while fresh(request).state == State.ASKED:
        wait = (fresh(request).poll_at - timezone.now()).total_seconds()  # type: ignore[operator]
        let_time_pass(request, wait + 0.1)
        spent += wait
        asked_after.append(round(spent))
        ussd.work(request.pk)
    assert asked_after == [2, 6, 14, 30, 62, 122, 182]
    assert fresh(request).state == State.SILENT
    assert "No answer in 3 minutes" in fresh(request).error


@pytest.mark.usefixtures("still")
def test_a_request_whose_answer_broke_off_is_looked_for_and_not_dialled_again(quiet: ProviderAccount) -> None:
    earlier = dial(quiet, "*907#")
    let_the_network_answer()
    let_time_pass(earlier, 3)
    ussd.work(earlier.pk)
    assert (fresh(earlier).state, fresh(earlier).provider_id) == (State.ANSWERED, str(Dialled.objects.get().pk))
    request = dial(quiet, "*907#")
    assert (request.state, request.provider_id) == (State.ASKED, "")
    let_time_pass(request, 3)
    ussd.work(request.pk)
    assert fresh(request).provider_id == str(Dialled.objects.first().pk)  # type: ignore[union-attr]
    assert fresh(request).response is None
    assert Dialled.objects.count() == 2


def test_a_worker_that_died_while_dialling_leaves_no_second_call(quiet: ProviderAccount) -> None:
    earlier = dial(quiet)
    let_the_network_answer()
    let_time_pass(earlier, 3)
    ussd.work(earlier.pk)
    request = ussd.ask(sim_of(quiet), "*100#", None)
    UssdRequest.objects.filter(pk=request.pk).update(state=State.ASKED, poll_at=timezone.now())  # claimed, and no more
    ussd.work(request.pk)
    assert (fresh(request).state, fresh(request).polls) == (State.ASKED, 1)  # the earlier answer is not its own
    let_time_pass(request, ussd.TIME_OUT.total_seconds())
    ussd.work(request.pk)
    assert (fresh(request).state, Dialled.objects.count()) == (State.SILENT, 1)


def test_without_workers_it_says_so(quiet: ProviderAccount) -> None:
    request = ussd.ask(sim_of(quiet), "*100#", None)
    let_time_pass(request, ussd.TIME_OUT.total_seconds())
    assert ussd.due() == []
    assert (fresh(request).state, "no background worker" in fresh(request).error) == (State.FAILED, True)


# --- What an answer tells ----------------------------------------------------------------------------


def test_a_number_in_the_answer_is_kept_on_the_sim(shelf: ProviderAccount) -> None:
    saved = balance_code(warn_below=20)
    request = dial(shelf)
    let_the_network_answer()
    assert (fresh(request).saved, fresh(request).value) == (saved, Decimal("12.5"))
    balance = Balance.objects.get()
    assert (balance.sim, balance.low, str(balance)) == (sim_of(shelf), True, "12.50 EUR")


def test_the_closest_saved_code_reads_the_answer(shelf: ProviderAccount) -> None:
    balance_code(name="All")
    balance_code(name="Green", operator="green telecom")
    balance_code(name="Blue", operator="Blue Mobile")
    assert dial(shelf).saved.name == "Blue"  # type: ignore[union-attr]
    own = balance_code(name="Own", sim=sim_of(shelf, "2", 0))
    assert ussd.ask(sim_of(shelf, "2", 0), "*100#", None).saved == own


def test_an_older_answer_that_comes_late_does_not_replace_a_newer(shelf: ProviderAccount) -> None:
    balance_code()
    first = dial(shelf)
    let_time_pass(first, ussd.TIME_OUT.total_seconds())
    second = dial(shelf)
    ussd.answer(shelf, UssdReply("*100#", "balance is 5.00", "1", 0, second.provider_id, timezone.now()))
    early = timezone.now() - ussd.TIME_OUT
    ussd.answer(shelf, UssdReply("*100#", "balance is 9.00", "1", 0, first.provider_id, early))
    assert (Balance.objects.get().value, Reading.objects.count()) == (Decimal(5), 2)


def test_an_answer_without_the_number_is_only_shown(shelf: ProviderAccount) -> None:
    balance_code(pattern=r"bonus is ([\d.]+)")
    request = dial(shelf)
    let_the_network_answer()
    assert (fresh(request).state, fresh(request).value) == (State.ANSWERED, None)
    assert not Balance.objects.exists()


# --- Danger ------------------------------------------------------------------------------------------


def test_a_code_that_diverts_calls_needs_the_permission_and_a_confirmation(shelf: ProviderAccount) -> None:
    sim, code = sim_of(shelf), "**21*+15550100001#"
    for by, sure, allowed in ((None, True, False), (person("bob"), True, False), (administrator(), False, True)):
        with pytest.raises(ussd.Dangerous, match="diverted") as raised:
            ussd.ask(sim, code, by, sure=sure)
        assert raised.value.allowed is allowed
    assert not UssdRequest.objects.exists()
    carol = person("carol", "devices.dial_dangerous_ussd")
    ussd.work(ussd.ask(sim, code, carol, sure=True).pk)
    assert Dialled.objects.get().code == code


def test_a_sim_that_is_gone_keeps_its_history(shelf: ProviderAccount) -> None:
    request = dial(shelf)
    Sim.objects.all().delete()
    let_the_network_answer()
    assert fresh(request).state == State.ANSWERED
