"""Sending hours: when in the week the clock on the wall allows to send. ``Mon-Fri 08:00-20:00, Sat 10:00-18:00``.

What counts is what the clock shows, so hours keep their meaning when clocks go forward or back: a time that is left
out opens nothing, a time that comes twice is open twice. Standard library only.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache

EXAMPLE = "Mon-Fri 08:00-20:00, Sat 10:00-18:00"
LONGEST = 200  # characters
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY = 24 * 60  # minutes
WEEK = 7 * DAY
NIGHT = 18 * 60  # minutes; what is open for longer over a midnight is written as two days

Stretch = tuple[int, int]  # minutes from midnight, the second up to 24:00 of the next day


@dataclass(frozen=True, slots=True)
class Hours:
    """``week``: a byte for each minute from Monday 00:00 on, 1 where it is open. At least one is."""

    week: bytes = b"\x01" * WEEK

    @property
    def always(self) -> bool:
        return 0 not in self.week

    def opening(self, moment: datetime, zone: tzinfo) -> datetime:
        """``moment`` itself if it is open by the clock of ``zone``, else the next moment that is (UTC)."""
        return self._next(1, moment, zone)

    def closing(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """``moment`` itself if it is closed, else the next moment that is (UTC). None: it never closes."""
        return None if self.always else self._next(0, moment, zone)

    def _next(self, wanted: int, moment: datetime, zone: tzinfo) -> datetime:
        minute = _minute(moment, zone)
        if self.week[minute] == wanted:
            return moment
        moment = moment.astimezone(UTC)
        while self.week[minute] != wanted:
            ahead = (self.week + self.week).find(wanted, minute) - minute
            moment = _forward(moment, min(ahead, DAY), zone)
            minute = _minute(moment, zone)
        return moment

    def __str__(self) -> str:
        """As ``parse`` reads it, the shortest way; empty: always open."""
        if self.always:
            return ""
        days: list[list[Stretch]] = [[] for _ in DAYS]
        for start, end in _stretches(self.week):
            days[start // DAY].append((start % DAY, start % DAY + end - start))
        texts = [" ".join(f"{_time(start)}-{_time(end)}" for start, end in sorted(day)) for day in days]
        if len(set(texts)) == 1:
            return texts[0]
        return ", ".join(f"{_names(texts, text)} {text}" for text in dict.fromkeys(texts) if text)


# --- Reading ---------------------------------------------------------------------------------------------

_DASH = re.compile(r"\s*[-–—]\s*")
_BETWEEN = re.compile(r"[\s,;]+")
_TIME = r"([0-9]{1,2})(?:[:.]([0-9]{2}))?"
_TIMES = re.compile(f"{_TIME}-{_TIME}")
_FULL_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@lru_cache(maxsize=1000)
def parse(text: str) -> Hours:
    """Read hours: days and the times they are open, in turn; times without days are meant for every day.

    ``20:00-02:00`` is open over midnight. Empty: always open. Raises ValueError with a sentence for the person who
    typed it.
    """
    words = [word for word in _BETWEEN.split(_DASH.sub("-", text)) if word]
    if not words:
        return Hours()
    week = bytearray(WEEK)
    for days, stretches in _groups(words):
        for day in days:
            for start, end in stretches:
                _open(week, day * DAY + start, day * DAY + end)
    hours = Hours(bytes(week))
    if len(str(hours)) > LONGEST:
        raise ValueError(f"These hours take more than {LONGEST} characters to write down. Use fewer of them.")
    return hours


def _groups(words: list[str]) -> Iterator[tuple[list[int], list[Stretch]]]:
    """The days, and the times that follow them."""
    days: list[int] = []
    stretches: list[Stretch] = []
    for word in words:
        if word[0].isdigit():
            stretches.append(_read_times(word))
            continue
        if stretches:
            if not days:
                raise ValueError(f"The days of the first hours are missing. Write it as {EXAMPLE}.")
            yield days, stretches
            days, stretches = [], []
        days = [*days, *_read_days(word)]
    if not stretches:
        raise ValueError(f"The hours of the last days are missing. Write it as {EXAMPLE}.")
    yield days or list(range(7)), stretches


def _read_days(word: str) -> list[int]:
    first, dash, last = word.partition("-")
    start = _read_day(first, word)
    end = _read_day(last, word) if dash else start
    return [(start + n) % 7 for n in range((end - start) % 7 + 1)]


def _read_day(name: str, word: str) -> int:
    for index, full in enumerate(_FULL_NAMES):
        if len(name) >= 2 and full.startswith(name.lower()):
            return index
    raise ValueError(f"“{word[:40]}” is neither days nor hours. Write it as {EXAMPLE}.")


def _read_times(word: str) -> Stretch:
    found = _TIMES.fullmatch(word)
    if found is None:
        raise ValueError(f"“{word[:40]}” is not from one time to another. Write it as 08:00-20:00.")
    hour, minute, to_hour, to_minute = (int(part or 0) for part in found.groups())
    start, end = hour * 60 + minute, to_hour * 60 + to_minute
    if max(minute, to_minute) > 59 or start >= DAY or end > DAY:
        raise ValueError(f"“{word}” names a time that no clock shows. Times go from 00:00 to 24:00.")
    if start == end:
        raise ValueError(f"“{word}” begins when it ends. For the whole day write 00:00-24:00.")
    return start, end if end > start else end + DAY


def _open(week: bytearray, start: int, end: int) -> None:
    for minute in range(start, end):
        week[minute % WEEK] = 1


# --- Writing ---------------------------------------------------------------------------------------------


def _stretches(week: bytes) -> Iterator[Stretch]:
    """From when to when it is open, in minutes of the week; none begins before its day or lasts a day or longer."""
    first = week.find(0)
    turned = week[first:] + week[:first]  # begins closed, so nothing is cut in two
    for run in re.finditer(b"\x01+", turned):
        start, end = run.start() + first, run.end() + first
        while start < end:
            midnight = (start // DAY + 1) * DAY
            stop = end if end <= midnight or end - start <= NIGHT else midnight
            yield start % WEEK, start % WEEK + stop - start
            start = stop


def _time(minute: int) -> str:
    minute = minute - DAY if minute > DAY else minute
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _names(texts: list[str], text: str) -> str:
    """The days with this text: ``Mon-Wed,Fri``."""
    runs = re.finditer("1+", "".join("1" if each == text else "0" for each in texts))
    return ",".join(
        DAYS[run.start()] if run.end() - run.start() == 1 else f"{DAYS[run.start()]}-{DAYS[run.end() - 1]}"
        for run in runs
    )


# --- Clocks ----------------------------------------------------------------------------------------------


@cache
def zones() -> list[str]:
    """The names of the time zones that a person can choose."""
    named = (name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
    return ["UTC", *sorted(named)]


def _minute(moment: datetime, zone: tzinfo) -> int:
    shown = moment.astimezone(zone)
    return shown.weekday() * DAY + shown.hour * 60 + shown.minute


def _forward(moment: datetime, minutes: int, zone: tzinfo) -> datetime:
    """When the clock has gone on to the full minute that lies so far ahead, or was set anew before that."""
    shown = moment.astimezone(zone)
    ahead = moment + timedelta(minutes=minutes, seconds=-shown.second, microseconds=-shown.microsecond)
    if ahead.astimezone(zone).utcoffset() == shown.utcoffset():
        return ahead
    return _change(moment, ahead, zone)


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The second, after ``before`` and up to ``after``, in which the clock is set anew."""
    offset = before.astimezone(zone).utcoffset()
    low, high = int(before.timestamp()), int(-(-after.timestamp() // 1))
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
