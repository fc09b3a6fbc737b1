"""The case table that the server's and the browser's counter share.

``text`` in data/segments.json is a list of runs, ``[piece, times]``. The expected values were worked out by hand
from 3GPP TS 23.038 and 23.040.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    encoding: str
    parts: int
    units: int
    left: int
    characters: int
    offending: str  # each character once, in order of first appearance


def cases() -> list[Case]:
    rows = json.loads((Path(__file__).parent / "data" / "segments.json").read_text(encoding="utf-8"))
    return [Case(**{**row, "text": "".join(piece * times for piece, times in row["text"])}) for row in rows]
