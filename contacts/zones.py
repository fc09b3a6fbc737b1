"""In which time zones the country of a phone number lives, from the tz database's zone.tab."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from . import plans

# regions with numbers of their own that zone.tab does not list
ALSO = {"XK": "Europe/Belgrade", "AC": "Atlantic/St_Helena", "TA": "Atlantic/St_Helena"}

Zones = tuple[ZoneInfo, ...]


def zones_of(number: str) -> Zones:
    """The zones of the country that an E.164 number belongs to; empty: not known (short codes, +800 …).

    Where countries share a code and no plan has the number, those of the first, as the United States for +1.
    """
    zones = _of_code(number[1:4]) if number.startswith("+") else ()
    return zones if zones is not None else _of_number(_beginning(number))


@cache
def _of_code(first_digits: str) -> Zones | None:
    """None: countries with different zones share the code."""
    found = {_of_region(region) for region in plans.regions(first_digits)}
    return None if len(found) > 1 else next(iter(found), ())


def _beginning(number: str) -> str:
    """In North America six digits tell the country, so a million numbers have few beginnings."""
    return number[:8].ljust(12, "0") if number[1] == "1" else number


@lru_cache(maxsize=100_000)
def _of_number(number: str) -> Zones:
    return _of_region(plans.region_of(number) or plans.regions(number[1:4])[0])


@cache
def _of_region(region: str) -> Zones:
    return tuple(map(ZoneInfo, _table().get(region, ())))


@cache
def _table() -> dict[str, list[str]]:
    """The names of the zones by region (``EE``)."""
    found = {region: [zone] for region, zone in ALSO.items()}
    for line in resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("ascii").splitlines():
        if line and not line.startswith("#"):
            region, _, zone = line.split("\t")[:3]
            found.setdefault(region, []).append(zone)
    return found
