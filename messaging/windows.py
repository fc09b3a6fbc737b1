"""When messages may leave: the account's sending hours and their campaign's, each by the clock that is meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from contacts.zones import Zones, zones_of
from providers.hours import Hours, parse
from providers.models import ProviderAccount

SEVERAL = timedelta(days=7)  # how long a moment that suits every zone of a country is worth waiting for
AHEAD = timedelta(days=14)

Rule = tuple[Hours, tzinfo]


class Timed(Protocol):
    """A Campaign or a Draft."""

    hours: str
    zone: str
    by_recipient: bool
    priority: int


def earliest(
    account: ProviderAccount, campaign: Timed | None, numbers: Sequence[str], moment: datetime
) -> list[datetime]:
    """For each number the first moment, from ``moment`` on, at which the account's hours and the campaign's are open.

    With ``by_recipient`` the campaign's hours are meant by the clock of the number's country. Where that has several
    zones it is a moment that is open in all of them, if one comes within a week; otherwise, and where the country is
    not known, the account's clock counts. Hours that never meet (``never_open``) leave the account's alone.
    Urgent messages (``priority`` above 0: codes, replies) ignore the campaign's hours and obey the account's.
    """
    if campaign is None or not campaign.hours or campaign.priority:
        return [account.opening(moment)] * len(numbers)
    if not campaign.by_recipient:
        return [_opening(account, campaign, (), moment)] * len(numbers)
    opens: dict[Zones, datetime] = {}
    for zones in {zones_of(number) for number in numbers}:
        opens[zones] = _opening(account, campaign, zones, moment)
    return [opens[zones_of(number)] for number in numbers]


def closed_until(account: ProviderAccount, moment: datetime) -> datetime | None:
    """When the account's hours begin again. None: they are open."""
    return account.closed_until(moment)


def never_open(account: ProviderAccount, campaign: Timed, numbers: Iterable[str], moment: datetime) -> str:
    """A sentence if, for some of the numbers, the account's and the campaign's hours do not meet within two weeks
    of ``moment``; else nothing."""
    if not campaign.hours or campaign.priority:
        return ""
    places = {zones_of(number) for number in numbers} if campaign.by_recipient else set[Zones]()
    for zones in places or {()}:
        if _suitable(account, campaign, zones, moment) is None:
            return _sentence(account, campaign, zones)
    return ""


def _opening(account: ProviderAccount, campaign: Timed, zones: Zones, moment: datetime) -> datetime:
    found = _suitable(account, campaign, zones, moment) or _suitable(account, campaign, (), moment)
    return found or account.opening(moment)


def _suitable(account: ProviderAccount, campaign: Timed, zones: Zones, moment: datetime) -> datetime | None:
    """``zones``: of the recipient; none: not known, or of no matter."""
    hours, own = parse(campaign.hours), (parse(account.hours), account.clock)
    if len(zones) > 1 and (found := _common([own, *((hours, zone) for zone in zones)], moment, SEVERAL)):
        return found
    clock = zones[0] if len(zones) == 1 else _clock(account, campaign)
    return _common([own, (hours, clock)], moment, AHEAD)


def _clock(account: ProviderAccount, campaign: Timed) -> tzinfo:
    return ZoneInfo(campaign.zone) if campaign.zone and not campaign.by_recipient else account.clock


def _common(rules: Iterable[Rule], moment: datetime, within: timedelta) -> datetime | None:
    """The first moment that is open by all the rules."""
    rules, at = list(rules), moment.astimezone(UTC)
    end = at + within
    while at <= end:
        before = at
        for hours, zone in rules:
            at = hours.opening(at, zone)
        if at == before:
            return at
    return None


def _sentence(account: ProviderAccount, campaign: Timed, zones: Zones) -> str:
    clock = zones[0] if len(zones) == 1 else _clock(account, campaign)
    values = {"account": account.name, "own": account.hours, "place": account.clock, "hours": campaign.hours}
    return _(
        "The account %(account)s sends at %(own)s (%(place)s) only, and these are never %(hours)s in %(clock)s. "
        "Choose other hours or another account."
    ) % {**values, "clock": clock}
