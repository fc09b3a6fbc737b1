"""Saved codes: which of them a SIM has."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q

from .models import SavedCode, Sim


def for_sim(sim: Sim) -> list[SavedCode]:
    """Those of the SIM, of its operator and of all, by name. One query."""
    theirs = Q(sim=sim) | Q(sim=None, operator="") | Q(sim=None, operator__iexact=sim.carrier)
    return list(SavedCode.objects.filter(theirs).order_by("name", "pk"))


def of(sim: Sim, code: str) -> SavedCode | None:
    """The saved code with these digits that is meant for this SIM most closely; one with a pattern before others."""
    same = [saved for saved in for_sim(sim) if saved.code == code]
    return max(same, key=lambda saved: (bool(saved.sim_id), bool(saved.operator), bool(saved.pattern)), default=None)


def suits(saved: SavedCode, sim: Sim) -> bool:
    if saved.sim_id:
        return saved.sim_id == sim.pk
    return not saved.operator or saved.operator.casefold() == sim.carrier.casefold()


def operators(sims: Sequence[Sim]) -> list[str]:
    return sorted({sim.carrier for sim in sims if sim.carrier}, key=str.casefold)
