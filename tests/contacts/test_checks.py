from __future__ import annotations

import pytest
from django.conf import LazySettings

from contacts.apps import check_default_region


@pytest.mark.parametrize(("region", "wrong"), [(None, 0), ("DE", 0), ("XX", 1), ("GERMANY", 1)])
def test_the_default_region_is_a_country(region: str | None, wrong: int, settings: LazySettings) -> None:
    settings.SMSDASH_DEFAULT_REGION = region
    assert len(check_default_region()) == wrong
