"""Our own charts: SVG whose bars are links, numbers on hover, and a table beside it for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from django import template

register = template.Library()

HEIGHT = 100.0  # of the drawing; the style sheet stretches it
GAP = 0.14  # of a bar's place, on each side


@dataclass(frozen=True, slots=True)
class Bar:
    """``label`` stands below, ``title`` is read on hover, ``parts`` are (CSS class, amount) from the bottom up."""

    label: str
    title: str
    href: str
    parts: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        return sum(amount for _, amount in self.parts)


@dataclass(frozen=True, slots=True)
class Box:
    kind: str
    x: float
    y: float
    width: float
    height: float


def top_of(highest: int) -> int:
    """The end of the axis: the least round number, with a whole half, that is not below the highest bar."""
    step = 1
    while highest > 10 * step:
        step *= 10
    factors = (2, 3, 4, 5, 6, 8, 10) if step > 1 else (2, 4, 6, 8, 10)
    return next(factor * step for factor in factors if highest <= factor * step)


def boxes(bar: Bar, index: int, top: int) -> list[Box]:
    found, y = [], HEIGHT
    for kind, amount in bar.parts:
        height = amount / top * HEIGHT
        y -= height
        if amount:
            found.append(Box(kind, index + GAP, round(y, 3), 1 - 2 * GAP, round(height, 3)))
    return found


@register.inclusion_tag("smsdash/chart.html")
def bar_chart(caption: str, bars: Sequence[Bar], columns: str) -> dict[str, object]:
    """Stacked bars; ``columns`` names the parts in the table, with commas between."""
    top = top_of(max((bar.total for bar in bars), default=0))
    return {
        "caption": caption,
        "columns": columns.split(","),
        "width": max(len(bars), 1),
        "ticks": (0, top // 2, top),
        "bars": [(index, bar, boxes(bar, index, top)) for index, bar in enumerate(bars)],
    }


class Reading(Protocol):
    at: datetime
    value: Decimal


@register.inclusion_tag("smsdash/line.html")
def line_chart(
    caption: str, readings: Sequence[Reading], unit: str = "", limit: Decimal | None = None
) -> dict[str, object]:
    """How a number changed, oldest first, each reading as far from the next; ``limit``: a line across."""
    values = [float(reading.value) for reading in readings]
    marks = [*values, *([float(limit)] if limit is not None else [])]
    low, high = min(marks, default=0.0), max(marks, default=0.0)
    step = HEIGHT / (high - low) if high > low else 0.0

    def height(value: float) -> float:
        return round(HEIGHT - (value - low) * step if step else HEIGHT / 2, 2)

    width = max(len(values) - 1, 1)
    return {
        "caption": caption,
        "unit": unit,
        "width": width,
        "line": " ".join(f"{x},{height(value)}" for x, value in enumerate(values)),
        "limit": None if limit is None else height(float(limit)),
        "points": [(x - 0.5, reading) for x, reading in enumerate(readings)],
    }
