"""Our own charts: SVG whose bars are links, numbers on hover, and a table beside it for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
