"""Imports in the background: slice after slice, each with the place where it ended in one transaction.

Killed at any moment, an import has neither lost nor repeated a row; the next worker goes on from the cursor. One chain
of tasks works on an import at a time. Workers on other machines see the same file (import_files.py).
"""

from __future__ import annotations

import csv
import io
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, IntegrityError, OperationalError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from . import import_files, import_sheets, import_undo, import_write, tables
from .import_rows import KEPT, People, Reader, Reject
from .import_write import Targets
from .models import ContactList, Import
from .sheets import SheetError
from .tables import Block, Layout, Place

log = logging.getLogger(__name__)

SECONDS = 20.0  # a task works so long, then it queues the rest
IDLE = 6.0  # seconds after which whoever worked on an import is taken for dead
FORGOTTEN = timedelta(days=7)
TRIES = 5  # of a slice that another import comes in the way of
PLACES = ("offset", "row")

State = Import.State
GOING = (State.WAITING, State.RUNNING)
AT_WORK = (*GOING, State.UNDOING)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file is to be imported. ``columns``: see import_rows.py. ``lists``: ids. ``region``: two letters, or empty.

    ``exact``: it is an export of ours. ``heading``: the first row, where it names the columns.
    """

    encoding: str
    delimiter: str
    header: bool
    columns: Sequence[str]
    region: str = ""
    duplicates: str = import_write.SKIP
    lists: Sequence[int] = ()
    exact: bool = False
    heading: Sequence[str] = ()

    @property
    def layout(self) -> Layout:
        return Layout(self.encoding, self.delimiter, len(self.columns))

    @classmethod
    def of(cls, run: Import) -> Plan:
        known = {name: run.options[name] for name in cls.__slots__ if name in run.options}
        return cls(columns=run.columns, **known)


# --- What an operator does ---------------------------------------------------------------------------


def begin(run: Import, plan: Plan, wake: bool = True) -> bool:
    """Let the workers have a draft; False: it is none any more. Without ``wake``, whoever calls ``run_here``."""
    options = {name: getattr(plan, name) for name in Plan.__slots__ if name != "columns"}
    values = {"options": run.options | options, "columns": list(plan.columns), "started_at": timezone.now()}
    return _move(run, [State.DRAFT], wake, state=State.WAITING, **values)


def stop(run: Import) -> bool:
    """What is imported stays; ``resume`` goes on from there."""
    return _move(run, GOING, state=State.STOPPED, finished_at=timezone.now(), wake=False)


def resume(run: Import) -> bool:
    """False for a sheet that cannot be read: its file is gone."""
    return not is_unreadable(run) and _move(
        run, [State.STOPPED, State.FAILED], state=State.WAITING, finished_at=None, error=""
    )


def undo(run: Import) -> bool:
    over = [State.STOPPED, State.FAILED, State.DONE]
    return _move(run, over, state=State.UNDOING, finished_at=None, error="")


def is_unreadable(run: Import) -> bool:
    return run.state == State.FAILED and import_sheets.waits(run)


def share(run: Import) -> float:
    """How much of the file is imported, or first, of a sheet, how much is read."""
    if import_sheets.waits(run):
        return import_sheets.share(run)
    return run.done_bytes / run.total_bytes if run.total_bytes else 1.0


def outdated(now: datetime) -> QuerySet[Import]:
    """Drafts that nobody came back to, and files that never arrived whole."""
    return Import.objects.filter(state=State.DRAFT, created_at__lt=now - FORGOTTEN).order_by("pk")


def discard(run: Import) -> bool:
    """Away with a draft."""
    with transaction.atomic():
        if found := Import.objects.select_for_update().filter(pk=run.pk, state=State.DRAFT).first():
            import_files.discard(found)
    return found is not None


def _move(run: Import, states: Sequence[str], wake: bool = True, **values: Any) -> bool:
    """Whoever works on it now ends with the slice that they are at, which is kept only if it is through already."""
    with transaction.atomic():
        now = Import.objects.select_for_update().filter(pk=run.pk, state__in=states).first()
        if now is None:
            return False
        for name, value in values.items():
            setattr(now, name, value)
        _sign(now, "")
        now.save()
        if wake:
            go_on(now.pk, "")
    return True


def go_on(pk: int, worker: str) -> None:
    """Queue a task that goes on with it, once the transaction is through."""
    transaction.on_commit(lambda: async_task("contacts.import_tasks.work", pk, worker))


# --- What workers do ---------------------------------------------------------------------------------


def abandoned() -> list[int]:
    """Imports that are to go on and that nobody works on."""
    found = Import.objects.filter(state__in=AT_WORK).only("cursor")
    return [run.pk for run in found if _is_idle(run)]


def _is_idle(run: Import) -> bool:
    return time.time() - run.cursor.get("at", 0) > IDLE


def work(pk: int, worker: str, seconds: float = SECONDS, stopping: Callable[[], bool] = bool) -> bool:
    """Go on with an import or its undo. True: there is more, and nobody else is at it.

    ``worker``: the chain of tasks that this one belongs to. Safe to run twice, at once, after a crash.
    """
    end = time.monotonic() + seconds
    return any(time.monotonic() > end or stopping() for _step in _steps(pk, worker))


def _steps(pk: int, worker: str) -> Iterator[None]:
    """Do it step by step, as long as there is more and nobody else is at it."""
    run = _claim(pk, worker)
    if run is None:
        return
    kinds = [_undoing] if run.state == State.UNDOING else [_reading, _importing]
    try:
        for kind in kinds:
            step = kind(run)
            while step(worker):
                yield
            run.refresh_from_db()
    except DatabaseError:
        raise  # tried again, by the clock
    except Exception as error:
        _fail(run, worker, error)


def _claim(pk: int, worker: str) -> Import | None:
    with transaction.atomic():
        run = Import.objects.select_for_update().filter(pk=pk, state__in=AT_WORK).first()
        if run is None or not _is_ours(run, worker):
            return None
        if run.state == State.WAITING:
            run.state = State.RUNNING
        _sign(run, worker)
        run.save(update_fields=["state", "cursor"])
    return run


def _is_ours(run: Import, worker: str) -> bool:
    return run.cursor.get("worker", "") in ("", worker) or _is_idle(run)


def _sign(run: Import, worker: str, **more: Any) -> None:
    run.cursor = {**run.cursor, **more, "worker": worker, "at": time.time()}


def _locked(run: Import, worker: str, states: Sequence[str]) -> Import | None:
    """The row as it is now, if it is still ours to go on with from the same place."""
    now = Import.objects.select_for_update().filter(pk=run.pk, state__in=states).first()
    if now is None or now.cursor.get("worker") != worker or not _is_where(now, run):
        return None
    return now


def _place(run: Import) -> Place:
    return Place(*(run.cursor.get(name, 0) for name in PLACES))


def _is_where(now: Import, run: Import) -> bool:
    return _place(now) == _place(run) and now.cursor.get("sheet") == run.cursor.get("sheet")


def _fail(run: Import, worker: str, error: Exception) -> None:
    if isinstance(error, SheetError):
        said = str(error)
    elif isinstance(error, ContactList.DoesNotExist):
        said = _("A list that it was to fill has been deleted. What was imported stays.")
    else:
        log.exception("Import %s failed", run.pk)
        said = _("It broke off: %s. What was imported stays; you can continue.") % error
    with transaction.atomic():
        values = {"state": State.FAILED, "error": said[:300], "finished_at": timezone.now()}
        ours = Import.objects.filter(pk=run.pk, state__in=AT_WORK, cursor__worker=worker)
        if ours.update(**values) and isinstance(error, SheetError):
            import_files.forget_file(run)


# --- A sheet -----------------------------------------------------------------------------------------


def _reading(run: Import) -> Callable[[str], bool]:
    """A function that makes CSV of the next part of a sheet and says whether there is more."""
    parts = import_sheets.parts(run) if import_sheets.waits(run) else iter(())

    def step(worker: str) -> bool:
        nonlocal run
        part = next(parts, None)
        if part is None:
            return False
        with transaction.atomic():
            now = _locked(run, worker, GOING)
            if now is None:
                return False
            import_sheets.keep(now, part)
            _sign(now, worker)
            now.save()
        run = now
        return True

    return step


# --- A slice -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Slice:
    """Rows as they were read. ``next``: where those after them begin. ``begun``: when, by the monotonic clock."""

    people: People
    rejected: Sequence[Reject]
    next: Place
    begun: float


def _importing(run: Import) -> Callable[[str], bool]:
    """A function that imports the next slice and says whether there may be more."""
    plan, source = Plan.of(run), import_files.source(run)
    reader = Reader(plan.columns, plan.region or None, plan.exact)
    targets = Targets(plan.duplicates, plan.lists)

    def step(worker: str) -> bool:
        nonlocal run
        begun = time.monotonic()
        block = tables.read(source, plan.layout, _place(run))
        if block.next.offset <= _place(run).offset < run.total_bytes:
            raise ValueError(_("a part of the file is missing"))
        if plan.header and _place(run) == tables.START:
            _leave_out_header(block)
        part = _Slice(*reader.read(block), block.next, begun)
        run = _again(lambda: _commit(run, worker, part, targets))
        return run is not None and run.state == State.RUNNING

    return step


def _leave_out_header(block: Block) -> None:
    first = next(iter(block), None)
    if first:
        block.rows[first.number - block.first] = []


def _again(write: Callable[[], Import | None]) -> Any:
    """Once more when another import made the same contacts, or both waited for each other."""
    for _try in range(TRIES - 1):
        try:
            return write()
        except (IntegrityError, OperationalError) as error:
            log.info("A slice is written once more: %s", error)
    return write()


def _commit(run: Import, worker: str, part: _Slice, targets: Targets) -> Import | None:
    """The slice, its counts and the place where it ended. None: somebody else goes on, or nobody is to."""
    with transaction.atomic():
        now = _locked(run, worker, GOING)
        if now is None:
            return None
        written = import_write.write(now, part.people, targets)
        import_write.reject(now, part.rejected, [_as_line(each.cells) for each in part.rejected])
        now.added += written.added
        now.updated += written.updated
        now.skipped += written.skipped
        now.rejected += len(part.rejected)
        now.rows += len(part.people) + len(part.rejected)
        now.reasons = Counter(now.reasons) + Counter(str(each.reason) for each in part.rejected)
        now.done_bytes = part.next.offset
        worked = now.cursor.get("seconds", 0.0) + time.monotonic() - part.begun
        _sign(now, worker, **part.next._asdict(), seconds=worked)
        if now.done_bytes >= now.total_bytes:
            now.state, now.finished_at = State.DONE, timezone.now()
            import_files.forget_file(now)
        now.save()
    return now


def _as_line(cells: Sequence[str]) -> str:
    """As one line of CSV, cut."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow([cell[:KEPT].replace("\x00", "\ufffd") for cell in cells])
    return text.getvalue().rstrip("\r\n").encode("utf-8", "replace").decode()[:KEPT]


def _undoing(run: Import) -> Callable[[str], bool]:
    def step(worker: str) -> bool:
        with transaction.atomic():
            now = _locked(run, worker, [State.UNDOING])
            if now is None:
                return False
            more = import_undo.step(now)
            _sign(now, worker)
            if not more:
                now.state, now.finished_at = State.UNDONE, timezone.now()
                import_files.forget_file(now)
            now.save()
        return more

    return step


# --- At once -----------------------------------------------------------------------------------------


def run_here(run: Import) -> Iterator[Import]:
    """Work on it in this process to its end; it as it is after each step."""
    for _step in _steps(run.pk, uuid.uuid4().hex):
        run.refresh_from_db()
        yield run
    run.refresh_from_db()
    yield run
