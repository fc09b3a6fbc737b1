"""Imports of contacts: a CSV posted, worked off in the background, stopped, gone on with and undone."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Literal

from django.conf import settings
from django.http import StreamingHttpResponse
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from contacts import exporting, import_files, importing
from contacts.import_forms import Reading, is_separator
from contacts.import_rows import NUMBER, REASONS
from contacts.import_views import ACTS, rejected_lines
from contacts.models import ContactList, Import
from messaging.log import read_id
from providers import errors

from . import reading
from .caller import CONTACTS
from .door import Call
from .errors import Conflict, answers, missing
from .schemas import Done, Id, Next, Paging, Time, page

router = Router(by_alias=True, auth=CONTACTS, tags=["Imports"])

CSV = "text/csv"
EXAMPLE = "number,name,city\n+1234567890,Ann,Tartu\n"
POSTED = {"requestBody": {"required": True, "content": {CSV: {"schema": {"type": "string"}, "example": EXAMPLE}}}}
DOWNLOAD = {"responses": {200: {"content": {CSV: {"schema": {"type": "string"}}}}}}
Act = Literal["stop", "continue", "undo"]


class Rejects(Schema):
    reason: str
    rows: int


class ImportOut(Schema):
    import_id: Id
    name: str
    state: Literal["draft", "waiting", "running", "stopped", "done", "failed", "undoing", "undone"]
    error: str = Field(description="Why it failed.")
    percent: int
    rows: int = Field(description="That were read by now.")
    added: int
    updated: int
    skipped: int = Field(description="Known already, and left as they were.")
    rejected: int
    reasons: list[Rejects] = Field(description="Why rows were rejected.")
    columns: list[str] = Field(description="What each column was taken for; empty: left out.")
    created_at: Time
    finished_at: Time | None


class ImportStarted(ImportOut, Done):
    """As it is now."""


class ImportPage(Schema):
    imports: list[ImportOut]
    next: Next


class ImportAsked(Schema):
    name: str = Field("", max_length=100, description="A name to find it by, as of a file.")
    list_id: list[Id] = Field([], max_length=50, description="Everybody is put on these lists.")
    duplicates: Literal["skip", "fill", "update"] = Field(
        "skip", description="A number that is known: left alone, filled in where it lacks something, or updated."
    )
    region: str = Field("", max_length=2, description="Country of numbers without one, as `DE`.", examples=["DE"])
    delimiter: str = Field("", max_length=1, description="Empty: guessed.")


@router.get("/imports", response=answers(ImportPage), summary="List imports")
def listed(request: Call, asked: Query[Paging]) -> Any:
    rows, edge = reading.cut(Import.objects.filter(size__gt=0), asked)
    return page("imports", [_written(row) for row in rows], edge)


@router.post(
    "/imports", response=answers(ImportStarted, 202), openapi_extra=POSTED, summary="Import contacts from a CSV"
)
def begin(request: Call, asked: Query[ImportAsked]) -> Any:
    """The body is the file, of 12 MB at most, with `Content-Type: text/csv`; a longer one goes in several. The first
    row names the columns: `number`, `name`, `language`, `zone`, `opted_out`, and any others are free fields. Encoding
    and separator are guessed. Who opted out stays so."""
    lists = _lists(asked.list_id)
    try:
        run = import_files.receive(asked.name.strip() or "import.csv", BytesIO(request.body), request.key.owner)
    except import_files.FileError as error:
        raise errors.InvalidRequest(str(error)) from error
    try:
        plan = _plan(run, asked, lists)
    except errors.InvalidRequest:
        importing.discard(run)
        raise
    importing.begin(run, plan)
    return Status(202, _written(_import(str(run.pk))))


@router.get("/imports/{import_id}", response=answers(ImportOut), summary="See how far an import is")
def get(request: Call, import_id: str) -> Any:
    return _written(_import(import_id))


@router.post("/imports/{import_id}/{action}", response=answers(ImportStarted), summary="Stop, continue or undo")
def act(request: Call, import_id: str, action: Act) -> Any:
    """What was imported stays when it is stopped. Undone, in the background: the contacts that it made are deleted and
    the others get back what they had, but for what others did with them since."""
    if not ACTS[action][0](_import(import_id)):
        raise Conflict("That cannot be done with this import as it is now.")
    return _written(_import(import_id))


@router.get(
    "/imports/{import_id}/rejected", response=answers(str), openapi_extra=DOWNLOAD, summary="Get the rejected rows"
)
def rejected(request: Call, import_id: str) -> StreamingHttpResponse:
    """A CSV in UTF-8: the number of each row in the file, the reason, and its cells."""
    row = _import(import_id)
    return exporting.download(rejected_lines(row), f"import-{row.pk}.rejected.csv")


def _plan(run: Import, asked: ImportAsked, lists: list[int]) -> importing.Plan:
    """Raises InvalidRequest."""
    if asked.delimiter and not is_separator(asked.delimiter):
        raise errors.InvalidRequest("“delimiter” is one character; no letter, digit, + or quotation mark.")
    form = Reading.guessed(run, delimiter=asked.delimiter)
    if form.columns.count(NUMBER) != 1:
        raise errors.InvalidRequest("No column looks like phone numbers. Name it “number” in the first row.")
    region = asked.region.upper() or settings.SMSDASH_DEFAULT_REGION or ""
    try:
        return form.plan_with(region, asked.duplicates, lists)
    except ValueError as error:
        raise errors.InvalidRequest(str(error)) from error


def _lists(texts: list[str]) -> list[int]:
    wanted = {read_id(text) or 0 for text in texts}
    found = sorted(ContactList.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    if len(found) < len(wanted):
        raise missing("list")
    return found


def _import(text: str) -> Import:
    return reading.one(Import.objects.filter(size__gt=0), text, "import")


def _written(row: Import) -> dict[str, Any]:
    return {
        "import_id": row.pk,
        "name": row.name,
        "state": row.state,
        "error": row.error,
        "percent": round(100 * importing.share(row)),
        "rows": row.rows,
        "added": row.added,
        "updated": row.updated,
        "skipped": row.skipped,
        "rejected": row.rejected,
        "reasons": [{"reason": str(REASONS.get(why, why)), "rows": n} for why, n in row.reasons.items()],
        "columns": row.columns,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }
