"""The built-in roles: everything that pages ask for, and whatever administrators made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from smsdash import roles
from smsdash.models import Role
from smsdash.roles import ROLES, BuiltIn
from tests.base import person, signed_in

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("providers", "contacts", "devices", "messaging", "api", "smsdash", "templates")
NAMED = re.compile(r"\b(?:api|contacts|devices|messaging|providers)\.[a-z]+_[a-z_]+\b")
HELD = frozenset[str]().union(*(role.permissions for role in ROLES))


def existing() -> set[str]:
    rows = Permission.objects.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows}


def asked_for() -> set[str]:
    """Every permission that a page, a template or a service names."""
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*.*") if path.suffix in (".py", ".html"))
    texts = (path.read_text() for path in files if path.name != "roles.py" and "migrations" not in path.parts)
    return {name for text in texts for name in NAMED.findall(text)} & existing()


def permission(name: str) -> Permission:
    app, codename = name.split(".")
    return Permission.objects.get(content_type__app_label=app, codename=codename)


def may(group: Group) -> set[str]:
    return set(group.permissions.values_list("codename", flat=True))


@pytest.fixture
def viewers() -> Group:
    roles.provide()
    return Group.objects.get(name="Viewer")


def grow(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """A later version, in which a Viewer may do more."""
    viewer = BuiltIn("Viewer", ROLES[0].permissions | {*names})
    monkeypatch.setattr(roles, "ROLES", (viewer, *ROLES[1:]))


def test_every_permission_that_is_asked_for_is_in_a_role() -> None:
    """A new one goes into a set of smsdash/roles.py."""
    assert len(asked_for()) > 50
    assert asked_for() - HELD == set()


def test_no_role_holds_what_nothing_asks_for() -> None:
    assert HELD - existing() == set()
    assert HELD - asked_for() - roles.ADMINISTERS == set()


def test_there_is_a_group_for_each_role() -> None:
    roles.provide()
    for role in ROLES:
        user = User.objects.create_user(role.name)
        user.groups.add(Group.objects.get(name=role.name))
        assert user.get_all_permissions() == role.permissions


def test_who_looks_changes_nothing() -> None:
    viewer, operator, approver, manager = (role.permissions for role in ROLES)
    assert all(".view_" in name for name in viewer)
    assert viewer < operator < manager and viewer < approver
    assert "messaging.approve_campaign" not in operator | manager  # a second person does that
    assert "devices.dial_dangerous_ussd" not in operator


def test_a_start_with_nothing_new_asks_once(viewers: Group) -> None:
    with CaptureQueriesContext(connection) as queries:
        roles.provide()
    assert len(queries) == 1


def test_what_administrators_changed_stays(viewers: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    viewers.permissions.remove(permission("contacts.view_contact"))
    viewers.permissions.add(permission("messaging.add_message"))
    Group.objects.filter(pk=viewers.pk).update(name="Only looking")
    Group.objects.get(name="Approver").delete()
    before = may(viewers)
    roles.provide()
    grow(monkeypatch, "messaging.change_message")
    roles.provide()
    assert may(viewers) == before | {"change_message"}
    assert set(Group.objects.values_list("name", flat=True)) == {"Only looking", "Operator", "Manager"}
    assert Role.objects.get(name="Approver").group is None


def test_a_group_of_the_same_name_is_not_touched() -> None:
    own = [Group.objects.create(name=name) for name in ("Viewer", "Viewer (built in)")]
    roles.provide()
    assert not any(may(group) for group in own)
    assert may(Role.objects.get(name="Viewer").group) == {name.split(".")[1] for name in ROLES[0].permissions}


def test_a_permission_that_does_not_exist_yet_is_given_later(viewers: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(monkeypatch, "messaging.ponder_message")
    roles.provide()
    assert "ponder_message" not in may(viewers)
    kind = permission("messaging.view_message").content_type
    Permission.objects.create(codename="ponder_message", name="Can ponder", content_type=kind)
    roles.provide()
    assert "ponder_message" in may(viewers)


def test_administrators_choose_them_in_the_form_of_a_person(viewers: Group) -> None:
    page = signed_in().get(f"/admin/auth/user/{person().pk}/change/").text
    assert all(f">{role.name}</option>" in page for role in ROLES)
    assert "Approver" in signed_in(User.objects.get(username="admin")).get("/admin/smsdash/role/").text
