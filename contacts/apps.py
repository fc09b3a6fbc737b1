from __future__ import annotations

from typing import Any

import phonenumbers
from django.apps import AppConfig
from django.conf import settings
from django.core import checks


class ContactsConfig(AppConfig):
    name = "contacts"
    verbose_name = "Contacts"


@checks.register
def check_default_region(**kwargs: Any) -> list[checks.CheckMessage]:
    """SMSDASH_DEFAULT_REGION is a country that has phone numbers, or not set."""
    region = settings.SMSDASH_DEFAULT_REGION
    if region is None or region in phonenumbers.SUPPORTED_REGIONS:
        return []
    hint = "Write two letters, such as DE, or leave it out."
    return [checks.Error(f"SMSDASH_DEFAULT_REGION: there is no country “{region}”.", hint=hint, id="contacts.E001")]
