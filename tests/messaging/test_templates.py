"""The pages of templates, and templates in the compose form."""

from __future__ import annotations

import html

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from messaging.models import Template
from tests.base import account, administrator, person, signed_in
from tests.forms import Forms

pytestmark = pytest.mark.django_db
URL, ADD = "/templates/", "/templates/add/"


@pytest.fixture
def client() -> Client:
    return signed_in(administrator())


def template(name: str = "Sale", text: str = "Hello {name|friend}") -> Template:
    return Template.objects.create(name=name, text=text)


def page(client: Client, url: str = URL) -> str:
    reply = client.get(url)
    assert reply.status_code == 200
    return " ".join(html.unescape(reply.text).split())


def test_without_templates_it_says_what_they_are_for(client: Client) -> None:
    assert "There is no template yet." in page(client) and f'href="{ADD}"' in page(client)


def test_they_are_listed_by_name_each_with_a_way_to_use_it(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    rows = [template(name) for name in ("Sale", "Appointment")]
    with django_assert_num_queries(3):  # session, user, templates
        shown = page(client)
    assert shown.index("Appointment") < shown.index("Sale")
    assert all(f'href="/compose/?template={row.pk}"' in shown for row in rows)


@pytest.mark.parametrize(
    ("sought", "found"),
    [("sal", 1), ("HELLO friend", 1), ("sale nowhere", 0), ("100%", 0), ("\x00", 1), ("", 1), ("' OR 1=1", 0)],
)
def test_they_are_found_by_words_of_name_and_text(client: Client, sought: str, found: int) -> None:
    template()
    for headers in ({}, {"HX-Request": "true"}):
        reply = client.get(URL, {"q": sought}, headers=headers)
        assert reply.text.count('id="template') == found
    assert "<html" not in reply.text


def test_more_than_a_page_is_told(client: Client) -> None:
    Template.objects.bulk_create(Template(name=f"T{n:03d}", text="x") for n in range(201))
    shown = page(client)
    assert "There are more." in shown and "T199" in shown and "T200" not in shown


def test_one_is_written_changed_and_deleted(client: Client) -> None:
    client.post(ADD, {"name": "Sale", "text": "a\r\nb {city}"})
    row = Template.objects.get()
    assert (row.name, row.text, str(row.created_by)) == ("Sale", "a\nb {city}", "admin")
    form = Forms(client.get(f"{URL}{row.pk}/").text).with_field("text")
    client.post(f"{URL}{row.pk}/", {**form, "text": "new"})
    row.refresh_from_db()
    assert (row.text, str(row.created_by)) == ("new", "admin")
    client.post(f"{URL}{row.pk}/delete/")
    assert not Template.objects.exists()
    assert "The template “Sale” is deleted." in page(client)


REFUSED = {
    "no name": ({"name": " "}, "Give the template a name"),
    "a name that is taken": ({"name": "Sale"}, "There is a template of that name."),
    "a long name": ({"name": "x" * 101}, "at most 100 characters"),
    "no text": ({"text": ""}, "Write the text of the template."),
    "a blank text": ({"text": " \r\n"}, "Write the text of the template."),
    "a long text": ({"text": "x" * 10_001}, "at most 10000 characters"),
    "NUL": ({"text": "a\x00b"}, "Null characters are not allowed."),
    "an open field": ({"text": "Hello {name"}, "“{name” has no closing brace."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_one_keeps_what_was_typed(client: Client, case: str) -> None:
    changes, sentence = REFUSED[case]
    template()
    reply = client.post(ADD, {"name": "New", "text": "Kept text", **changes})
    assert sentence in html.unescape(reply.text)
    assert Template.objects.count() == 1
    assert "Kept text" in reply.text or "text" in changes


def test_a_field_that_nobody_has_yet_may_stand_in_a_template(client: Client) -> None:
    assert client.post(ADD, {"name": "New", "text": "{whatever}"}).status_code == 302


def test_names_and_texts_are_escaped(client: Client) -> None:
    account()
    row = template("<script>alert(1)</script>", "</script><script>alert(2)</script>")
    for url in (URL, f"{URL}{row.pk}/", "/compose/"):
        assert "<script>alert" not in client.get(url).text


def test_each_page_has_a_right_of_its_own() -> None:
    row = template()
    one, delete = f"{URL}{row.pk}/", f"{URL}{row.pk}/delete/"
    reader = signed_in(person("reader", "messaging.view_template"))
    assert [reader.get(url).status_code for url in (URL, one, ADD)] == [200, 200, 403]
    assert "<textarea" not in reader.get(one).text and "Delete" not in reader.get(one).text
    assert [reader.post(url, {"name": "x", "text": "y"}).status_code for url in (one, ADD, delete)] == [403, 403, 403]
    nobody = signed_in(person("nobody", "messaging.add_message"))
    assert [nobody.get(url).status_code for url in (URL, one)] == [403, 403]
    assert Client().get(URL).status_code == 302
    assert signed_in(administrator()).get(delete).status_code == 405
    assert Template.objects.get().text == row.text


# --- In the compose form ---------------------------------------------------------------------------------


def test_a_link_fills_the_form_with_its_text(client: Client) -> None:
    account()
    row = template()
    assert Forms(client.get(f"/compose/?template={row.pk}").text).with_field("text")["text"].strip() == row.text
    for odd in ("999999999999", "x", "\x00", "9" * 40):
        assert client.get("/compose/", {"template": odd, "text": "kept"}).text.count("kept") >= 1


def test_whoever_may_not_see_templates_gets_none_of_them() -> None:
    account()
    row = template("Secret sale")
    writer = signed_in(person("alice", "messaging.add_message"))
    shown = writer.get(f"/compose/?template={row.pk}").text
    assert "Secret sale" not in shown and row.text not in shown
