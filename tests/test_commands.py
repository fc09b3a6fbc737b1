from __future__ import annotations

import hashlib
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from api.models import ApiKey
from messaging.models import Campaign, Message
from providers.models import ProviderAccount

pytestmark = pytest.mark.django_db

ADD = ["Main", "--kind", "smsprovider", "--base-url", "https://api.example/v1", "--credential", "api_key=key-12345678"]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_an_account_is_added_and_its_callback_printed() -> None:
    printed = run("add_account", *ADD, "--sender", "Shop", "--rate", "5/second", "--rate", "100/minute")
    account = ProviderAccount.objects.get()
    assert printed == f"id: {account.pk}\ncallback URL: {account.callback_url}\n"
    assert (account.sender, account.rates) == ("Shop", ["5/second", "100/minute"])
    assert account.credentials["api_key"] == "key-12345678"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({2: "fax"}, "There is no kind “fax”"),
        ({4: "not a url"}, "URL"),
        ({4: "ftp://api.example/v1"}, "https://"),
        ({6: "api_key"}, "KEY=VALUE"),
        ({6: "colour=red"}, "no credential “colour”"),
        ({6: "webhook_secret=x"}, "Missing: --credential api_key"),
        ({6: "api_key="}, "Missing: --credential api_key"),
        ({5: "--rate", 6: "10/week"}, "Missing"),
        ({0: "x" * 61}, "60 characters"),
    ],
)
def test_a_bad_account_is_refused_with_a_sentence(changed: dict[int, str], sentence: str) -> None:
    arguments = [changed.get(index, argument) for index, argument in enumerate(ADD)]
    with pytest.raises(CommandError, match=sentence):
        run("add_account", *arguments)
    assert not ProviderAccount.objects.exists()


def test_a_bad_rate_is_refused_with_an_example() -> None:
    with pytest.raises(CommandError, match="100/minute"):
        run("add_account", *ADD, "--rate", "10/week")


def test_a_secret_is_not_repeated_in_an_error() -> None:
    with pytest.raises(CommandError) as refused:
        run("add_account", *ADD[:6], "key-12345678")
    assert "key-12345678" not in str(refused.value)


def test_a_name_can_be_taken_once() -> None:
    run("add_account", *ADD)
    with pytest.raises(CommandError, match="already exists"):
        run("add_account", *ADD)


def test_a_key_is_shown_once_and_kept_as_a_hash() -> None:
    shown = json.loads(run("create_api_key", "Shop"))
    row = ApiKey.objects.get()
    assert row.key_hash == hashlib.sha256(shown["key"].encode()).hexdigest()
    assert row.secret_hash == hashlib.sha256(shown["secret"].encode()).hexdigest()
    assert row.sealed == {"key": shown["key"]}


def test_a_key_can_be_bound_to_an_account() -> None:
    run("add_account", *ADD)
    run("create_api_key", "Shop", "--account", "Main")
    assert ApiKey.objects.get().account == ProviderAccount.objects.get()


def test_a_key_for_an_unknown_account_is_refused() -> None:
    with pytest.raises(CommandError, match="no account “Nowhere”"):
        run("create_api_key", "Shop", "--account", "Nowhere")


def test_sending_prints_the_ids() -> None:
    run("add_account", *ADD)
    printed = run("send", "--account", "Main", "--to", "+11234567890,+9876543210", "--text", "Hello")
    assert [int(line) for line in printed.split()] == list(Message.objects.order_by("pk").values_list("pk", flat=True))
    assert set(Message.objects.values_list("number", "status")) == {
        ("+11234567890", "queued"),
        ("+9876543210", "queued"),
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--account", "Nowhere", "--to", "+11234567890", "--text", "x"], "no account “Nowhere”. Accounts: Main"),
        (["--account", "Main", "--to", "+11234567890,banana", "--text", "x"], "banana"),
        (["--account", "Main", "--to", "", "--text", "x"], "nobody to send to"),
        (["--account", "Main", "--to", "+11234567890", "--text", " "], "empty"),
        (["--account", "Main", "--to", "+11234567890", "--text", "x" * 1601], "1600"),
    ],
)
def test_a_bad_message_is_refused_and_nothing_is_stored(arguments: list[str], sentence: str) -> None:
    run("add_account", *ADD)
    with pytest.raises(CommandError, match=sentence):
        run("send", *arguments)
    assert not Message.objects.exists() and not Campaign.objects.exists()
