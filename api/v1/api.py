"""All of /v1 put together: its routers, how bodies are read and answers written, and its description (OpenAPI)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.utils.datastructures import MultiValueDict
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from providers import errors, wire

from . import accounts, campaigns, hooks, imports, lists, messages, people, phones, routes, texts, whole, wires
from .caller import ApiKeyScope
from .errors import JSON, answer, refuse

DESCRIPTION = """
Send your API key with each request: `Authorization: Bearer YOUR_API_KEY`. Keys are made on the page “API keys”.

**Bodies** are JSON in UTF-8. Ids are texts; times are ISO 8601, answered in UTC.

**Errors** are `{"success": false, "error": {"code", "message"}}` with a fitting HTTP status: 400 what cannot be read,
401 the key, 402 credits, 403 a scope that the key lacks, 404, 405, 409 not as things are now, 413, 415, 422 what is
wrong in a request, 429 too many requests. After an error nothing was done.

**Limits**: each answer tells of `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (seconds).

**Pages**: lists are newest first, 50 entries or as many as `limit` says (200 at most). Go on with `cursor`, the `next`
of the page before, until it is null.

**Once**: with an `Idempotency-Key` of your own, of 1 to 255 characters, a POST is done once, however often it comes
within 3 days. The answer is the first one, with the header `Idempotent-Replayed: true`. Another request with the same
key is refused with 422 `idempotency_key_reused`. After an error the same key may be used again.
"""
HEADER = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "A POST with the same key is done once.",
}


class Reader(Parser):
    """Reads bodies and queries, and refuses what no database can keep. Raises ValueError with a sentence."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            body = wire.load_json(request.body)
        except ValueError as error:
            raise ValueError("The body is not valid JSON in UTF-8.") from error
        if b"\\u0000" in request.body and any("\x00" in text for text in _texts(body)):
            raise ValueError("The body holds a NUL character.")
        return body

    def parse_querydict(self, data: MultiValueDict[str, Any], list_fields: list[str], request: HttpRequest) -> Any:
        found = super().parse_querydict(data, list_fields, request)
        if any("\x00" in text for text in _texts(found)):
            raise errors.InvalidRequest("The query holds a NUL character.")
        return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


class Writer(BaseRenderer):
    media_type = JSON

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return wire.dump_json(data)


class Api(NinjaAPI):
    def get_content_type(self) -> str:
        return JSON

    def get_openapi_operation_id(self, operation: Any) -> str:
        return f"{operation.view_func.__module__.rpartition('.')[2]}_{operation.view_func.__name__}"


api = Api(
    title="smsdash",
    version="1",
    description=DESCRIPTION,
    urls_namespace="v1",
    parser=Reader(),
    renderer=Writer(),
    docs_url=None,
    openapi_url=None,
)
for module in (wires, messages, campaigns, people, lists, imports, whole, phones, texts, accounts, routes, hooks):
    api.add_router("", module.router)


@api.exception_handler(errors.ProviderError)
def _refused(request: HttpRequest, error: errors.ProviderError) -> HttpResponse:
    return refuse(error)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return answer(422, "invalid_request", " ".join(_sentence(each) for each in error.errors[:3]))


def _sentence(wrong: dict[str, Any]) -> str:
    """``loc`` begins with where it was looked for and the name of the function's parameter."""
    place = [str(part) for part in wrong["loc"][1:]]
    name = ".".join(place[1:] if len(place) > 1 and wrong["loc"][0] == "body" else place[-1:])
    said = str(wrong["msg"]).removeprefix("Value error, ")
    return f"“{name}”: {said}" if name and name != "asked" else f"The body: {said}"


@api.exception_handler(HttpError)
def _unreadable(request: HttpRequest, error: HttpError) -> HttpResponse:
    return answer(error.status_code, "invalid_request", str(error.__cause__ or error))


@api.exception_handler(SuspiciousOperation)
def _suspicious(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
    return answer(400, "invalid_request", "There are too many parameters.")


@api.exception_handler(Exception)
def _broken(request: HttpRequest, error: Exception) -> HttpResponse:
    raise error  # the door tells of it


def schema() -> dict[str, Any]:
    """The description of /v1, with what holds for all of its operations."""
    found: dict[str, Any] = api.get_openapi_schema(path_prefix="/v1/")
    for bound in api._get_bound_routers():
        for path, view in bound.path_operations.items():
            for operation in view.operations:
                for method in operation.methods:
                    _complete(found["paths"][f"/v1{path}"][method.lower()], operation, method)
    return found


def _complete(told: dict[str, Any], operation: Any, method: str) -> None:
    if method == "POST":
        told["parameters"] = [*told["parameters"], HEADER]
    if "text/csv" in told["responses"].get(200, {}).get("content", {}):
        del told["responses"][200]["content"][JSON]
    scopes = [each.scope for each in operation.auth_callbacks if isinstance(each, ApiKeyScope) and each.scope]
    if scopes:
        told["description"] = f"{told.get('description', '')}\n\nNeeds the scope `{scopes[0]}`.".strip()
