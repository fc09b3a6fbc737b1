"""Finds the provider kinds: every module in ``adapters/`` that has an Adapter and a Dialect. No list to edit."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache

from . import adapters
from .base import Adapter, Dialect


@dataclass(frozen=True, slots=True)
class Kind:
    slug: str
    adapter: type[Adapter]
    dialect: type[Dialect]


@cache
def kinds() -> dict[str, Kind]:
    """All kinds by slug, in the order of their labels."""
    found = []
    for module in pkgutil.iter_modules(adapters.__path__):
        loaded = importlib.import_module(f"{adapters.__name__}.{module.name}")
        found.append(Kind(loaded.Adapter.kind, loaded.Adapter, loaded.Dialect))
    return {kind.slug: kind for kind in sorted(found, key=lambda kind: kind.adapter.label)}


def adapter_class(slug: str) -> type[Adapter]:
    """Raises KeyError for a kind that is not installed."""
    return kinds()[slug].adapter


def dialect(slug: str) -> Dialect:
    """Raises KeyError for a kind that is not installed."""
    return kinds()[slug].dialect()
