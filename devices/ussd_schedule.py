"""Saved codes that are dialled again and again."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from . import ussd
from .models import UssdSchedule


def due() -> list[int]:
    """Schedules whose time has come. One whose SIM waits for another answer stays due until that is there."""
    return list(UssdSchedule.objects.filter(enabled=True, next_at__lte=timezone.now()).values_list("pk", flat=True))


def run(pk: int) -> None:
    """Dial a scheduled code and set its next time, both or neither. Twice at once: one of them does."""
    found = UssdSchedule.objects.select_related("saved", "sim__device__account", "created_by")
    schedule = found.filter(pk=pk, enabled=True, next_at__lte=timezone.now()).first()
    if schedule is None:
        return
    try:
        with transaction.atomic():
            if _moved_on(schedule, error=""):
                by, saved = schedule.created_by, schedule.saved
                ussd.ask(schedule.sim, saved.code, by, sure=True, saved=saved, schedule=schedule)
    except ussd.Busy:
        return
    except ussd.Refused as error:
        _moved_on(schedule, error=str(error)[:300])


def _moved_on(schedule: UssdSchedule, error: str) -> bool:
    mine = UssdSchedule.objects.filter(pk=schedule.pk, enabled=True, next_at=schedule.next_at)
    return bool(mine.update(next_at=following(schedule.next_at, schedule.every), error=error))


def following(at: datetime, every: int) -> datetime:
    """The first time after now, ``every`` seconds apart from ``at``. Whole days keep their hour of the server's clock,
    in summer and in winter."""
    now, zone = timezone.now(), timezone.get_default_timezone()
    times = max(1, int((now - at).total_seconds() // every) + 1)
    if every % UssdSchedule.DAY:
        return at + timedelta(seconds=times * every)
    local = at.astimezone(zone)
    found = local + timedelta(seconds=times * every)  # aware times of one zone add by the wall clock
    return found if found > now else found + timedelta(seconds=every)
