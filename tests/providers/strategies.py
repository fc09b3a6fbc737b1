"""What hypothesis draws for every wire: values that must survive it, and JSON that nobody should send."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from providers.types import Credits

numbers = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=50)
ids = st.text("abcdef0123456789_", min_size=1, max_size=12)
balances = st.none() | st.builds(Credits, st.none() | st.integers(-10, 10**9).map(Decimal))
moments = st.integers(946_684_800, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def bodies(*names: str) -> st.SearchStrategy[bytes]:
    """Any bytes, or a JSON object in which any of ``names`` hold anything."""
    objects = st.fixed_dictionaries({}, optional=dict.fromkeys(names, json_values))
    return st.binary(max_size=60) | objects.map(lambda value: json.dumps(value).encode())
