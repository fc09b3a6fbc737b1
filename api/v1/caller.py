"""The holder of a key, where the services want to know who asks."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib.auth.models import AbstractBaseUser
from ninja.security import HttpBearer

from messaging.addressees import SEES_PEOPLE
from messaging.conduct import APPROVE

from .. import access
from ..models import ApiKey, Scope
from .door import Call

SCOPES: Mapping[str, Scope] = {SEES_PEOPLE: Scope.CONTACTS, APPROVE: Scope.ADMIN}


class Caller:
    """Answers like a user: a key has the permissions of its scopes. To approve takes an owner who may approve, too."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self.pk = key.owner_id

    def __str__(self) -> str:
        return f"API key {self.key.name}"

    @property
    def user(self) -> AbstractBaseUser | None:
        """In whose name it is done."""
        return self.key.owner

    def has_perm(self, permission: str) -> bool:
        scoped = {SCOPES[permission].value, Scope.ADMIN.value} & set(self.key.scopes)
        return bool(scoped) and (permission != APPROVE or bool(self.key.owner and self.key.owner.has_perm(APPROVE)))


class ApiKeyScope(HttpBearer):
    """What an operation needs of a key; the door has found the key."""

    def __init__(self, scope: Scope | None = None) -> None:
        super().__init__()
        self.scope = scope

    def __call__(self, request: Call) -> ApiKey:  # type: ignore[override]  # there is no token any more
        if self.scope:
            access.need(request.key, self.scope)
        return request.key

    def authenticate(self, request: Call, token: str) -> None:  # type: ignore[override]
        raise NotImplementedError


ANY = ApiKeyScope()
SEND, READ, CONTACTS, USSD, ADMIN = map(ApiKeyScope, Scope)
