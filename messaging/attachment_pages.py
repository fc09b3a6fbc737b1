"""What pages show of attachments: a small picture or an icon, type and size, and a link to the original. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from . import attachments, media
from .models import Attachment

ICONS: Mapping[str, str] = {"image": "image", "audio": "music", "video": "video", "text/vcard": "contact"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A link and what is known of it. ``opens``: it is an address that a browser may be led to."""

    link: str
    opens: bool
    row: Attachment | None

    @property
    def waits(self) -> bool:
        return self.row is not None and self.row.state == Attachment.State.WAITING

    @property
    def has_picture(self) -> bool:
        return self.row is not None and self.row.type in media.PICTURES

    @property
    def icon(self) -> str:
        type = self.row.type if self.row else ""
        return ICONS.get(type) or ICONS.get(type.partition("/")[0]) or ("file-text" if type else "paperclip")

    @property
    def about(self) -> str:
        """Its type and size; before they are known, or where they are not, why."""
        if self.row is None or self.waits:
            return self.row.reason or _("It is being looked at.") if self.row else ""
        if self.row.state == Attachment.State.REFUSED:
            return self.row.reason
        return f"{self.row.type}, {filesizeformat(self.row.size)}"


def shown(links: Iterable[object]) -> list[Shown]:
    return shown_together([list(links)])[0]


def shown_together(groups: Sequence[Sequence[object]]) -> list[list[Shown]]:
    """The links of several messages. One query, if there is any."""
    rows = attachments.known({str(link) for group in groups for link in group if attachments.opens(link)})
    return [[Shown(str(link), attachments.opens(link), rows.get(str(link))) for link in group] for group in groups]


def version(groups: Iterable[Sequence[object]]) -> list[tuple[object, ...]]:
    """Changes with what is shown of these links. One query, if there is any."""
    rows = attachments.known({str(link) for group in groups for link in group if attachments.opens(link)})
    return sorted((row.pk, row.state, row.tries, str(row.checked_at)) for row in rows.values())
