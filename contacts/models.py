"""People, the lists they are on, what they agreed to and when, and the imports that brought them.

Subscriptions, opt-outs, the counts of lists and the history have one writer: consent.py.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from providers.models import ProviderAccount


class How(models.TextChoices):
    """The way by which a subscription came about or ended."""

    IMPORT = "import", _("Import")
    API = "api", _("API")
    OPERATOR = "operator", _("Operator")
    STOP = "stop", _("Text message")
    LINK = "link", _("Link")
    PROVIDER = "provider", _("Provider")


class Import(models.Model):
    """One file of contacts, on its way or done. The file is in ImportChunks: workers may run on other machines.

    ``options`` and ``columns``: how it is read. ``cursor``: where the next slice begins. ``reasons``: how many rows
    were rejected, by reason. ``token`` makes one import of a double click.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        STOPPED = "stopped", _("Stopped")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        UNDOING = "undoing", _("Being undone")
        UNDONE = "undone", _("Undone")

    name = models.CharField(_("name"), max_length=200)
    size = models.BigIntegerField(_("size"), default=0)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.DRAFT)
    options = models.JSONField(default=dict, blank=True)
    columns = models.JSONField(default=list, blank=True)
    total_bytes = models.BigIntegerField(default=0)
    done_bytes = models.BigIntegerField(default=0)
    rows = models.PositiveIntegerField(_("rows"), default=0)
    added = models.PositiveIntegerField(_("added"), default=0)
    updated = models.PositiveIntegerField(_("updated"), default=0)
    skipped = models.PositiveIntegerField(_("skipped"), default=0)
    rejected = models.PositiveIntegerField(_("rejected"), default=0)
    reasons = models.JSONField(default=dict, blank=True)
    cursor = models.JSONField(default=dict, blank=True)
    error = models.CharField(_("error"), max_length=300, blank=True)
    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    """A person by phone number. ``opted_out_at`` set: nobody writes to them, whatever any list says.

    ``fields``: texts by name, free. ``language`` (``et``, ``pt-BR``) and ``zone`` (``Europe/Tallinn``) may be empty.
    """

    number = models.CharField(_("number"), max_length=16, unique=True, help_text=_("With + and country code"))
    name = models.CharField(_("name"), max_length=100, blank=True)
    fields = models.JSONField(_("fields"), default=dict, blank=True)
    language = models.CharField(_("language"), max_length=20, blank=True)
    zone = models.CharField(_("time zone"), max_length=40, blank=True)
    opted_out_at = models.DateTimeField(_("opted out"), null=True, blank=True)
    made_by_import = models.ForeignKey(Import, models.SET_NULL, null=True, blank=True, editable=False, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        indexes = [models.Index(fields=["id"], name="contact_opted_out", condition=Q(opted_out_at__isnull=False))]

    def __str__(self) -> str:
        return self.name or self.number


class LiveLists(models.Manager["ContactList"]):
    def get_queryset(self) -> models.QuerySet[ContactList]:
        return super().get_queryset().filter(deleted_at=None)


class ContactList(models.Model):
    """``members`` and ``subscribed`` are kept by consent.py; nobody counts.

    With an ``account`` it lives there too, as ``remote_id``; see mirroring.py. A deleted list (``deleted_at``) keeps
    its row for the history's sake, is not among ``objects``, and gives its name free.
    """

    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=300, blank=True)
    members = models.PositiveIntegerField(_("members"), default=0, editable=False)
    subscribed = models.PositiveIntegerField(_("subscribed"), default=0, editable=False)
    account = models.ForeignKey(
        ProviderAccount, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("provider account")
    )
    remote_id = models.CharField(_("list ID at the provider"), max_length=100, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    contacts: models.ManyToManyField[Contact, Subscription] = models.ManyToManyField(
        Contact, through="Subscription", related_name="lists"
    )

    objects = LiveLists()
    with_deleted = models.Manager["ContactList"]()

    class Meta:
        ordering = ["name"]
        base_manager_name = "with_deleted"
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(deleted_at=None),
                name="list_name",
                violation_error_message=_("There is a list of that name. Choose another name."),
            )
        ]
        verbose_name = _("contact list")
        verbose_name_plural = _("contact lists")

    def __str__(self) -> str:
        return self.name

    @property
    def unsubscribed(self) -> int:
        return self.members - self.subscribed

    @property
    def mirrored(self) -> bool:
        return bool(self.account_id and self.remote_id)


class Subscription(models.Model):
    """A contact's place on a list. Not ``subscribed``: on the list, but not written to through it.

    ``at``, ``how`` and ``by`` tell of the latest change.
    """

    contact = models.ForeignKey(Contact, models.CASCADE, related_name="subscriptions", db_index=False)
    list = models.ForeignKey(ContactList, models.CASCADE, related_name="subscriptions", db_index=False)
    subscribed = models.BooleanField(_("subscribed"), default=True)
    at = models.DateTimeField(_("since"), default=timezone.now)
    how = models.CharField(_("how"), max_length=10, choices=How.choices, default=How.OPERATOR)
    by = models.CharField(_("by"), max_length=150, blank=True)
    made_by_import = models.ForeignKey(Import, models.SET_NULL, null=True, blank=True, editable=False, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["contact", "list"], name="once_per_list")]
        indexes = [models.Index(fields=["list", "subscribed", "contact"], name="subscription_page")]
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")

    def __str__(self) -> str:
        return f"{self.contact_id} on {self.list_id}"


class ConsentEvent(models.Model):
    """What a person agreed to, or no longer did. ``list`` None: everything.

    ``proof`` is what shows it: the id and text of a message, the status that a removal ended. ``change``: the bulk
    change that it was part of.
    """

    class What(models.TextChoices):
        SUBSCRIBED = "subscribed", _("Subscribed")
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        OPTED_OUT = "opted_out", _("Opted out")
        OPTED_IN = "opted_in", _("Opted in")
        REMOVED = "removed", _("Removed")

    contact = models.ForeignKey(Contact, models.CASCADE, related_name="events")
    list = models.ForeignKey(ContactList, models.DO_NOTHING, null=True, blank=True, related_name="+", db_index=False)
    what = models.CharField(_("what"), max_length=12, choices=What.choices)
    how = models.CharField(_("how"), max_length=10, choices=How.choices)
    by = models.CharField(_("by"), max_length=150, blank=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    at = models.DateTimeField(_("at"), default=timezone.now)
    proof = models.JSONField(default=dict, blank=True)
    change = models.ForeignKey(
        "BulkChange", models.SET_NULL, null=True, blank=True, related_name="events", db_index=False
    )

    class Meta:
        indexes = [models.Index(fields=["change", "id"], name="event_of_change", condition=Q(change__isnull=False))]
        verbose_name = _("consent event")
        verbose_name_plural = _("consent events")

    def __str__(self) -> str:
        return f"{self.contact_id}: {self.what}"


class ImportChunk(models.Model):
    """A megabyte of an import's file, the ``n``-th from 0; the last may be shorter."""

    import_run = models.ForeignKey(Import, models.CASCADE, related_name="chunks", db_index=False)
    n = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["import_run", "n"], name="chunk_once")]
        verbose_name = _("piece of an import")
        verbose_name_plural = _("pieces of imports")

    def __str__(self) -> str:
        return f"{self.import_run_id}: {self.n}"


class ImportReject(models.Model):
    """A row that was not taken. ``row`` counts the file's rows from 1, the header's among them; ``text`` is the row."""

    import_run = models.ForeignKey(Import, models.CASCADE, related_name="rejects", db_index=False)
    row = models.PositiveIntegerField()
    reason = models.CharField(max_length=30)
    text = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["import_run", "row"], name="reject_once")]
        verbose_name = _("rejected row")
        verbose_name_plural = _("rejected rows")

    def __str__(self) -> str:
        return f"{self.import_run_id}: {self.row}"


class ImportChange(models.Model):
    """A contact as it was before an import changed it first; see import_memory.py."""

    import_run = models.ForeignKey(Import, models.CASCADE, related_name="changes", db_index=False)
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="+")
    before = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["import_run", "contact"], name="change_once")]
        verbose_name = _("contact before an import")
        verbose_name_plural = _("contacts before imports")

    def __str__(self) -> str:
        return f"{self.import_run_id}: {self.contact_id}"


class Mirror(models.Model):
    """What a list's provider has yet to be told of a contact; the latest word alone.

    ``version`` grows with each new word, so that whoever delivers the old one does not take the new one away.
    ``next_at`` None: given up, until an operator asks for another try.
    """

    class Action(models.TextChoices):
        SUBSCRIBE = "subscribe", _("Subscribe")
        RESUBSCRIBE = "resubscribe", _("Subscribe again")
        UNSUBSCRIBE = "unsubscribe", _("Unsubscribe")

    list = models.ForeignKey(ContactList, models.CASCADE, related_name="mirrors", db_index=False)
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="+")
    action = models.CharField(_("action"), max_length=12, choices=Action.choices)
    version = models.PositiveIntegerField(default=1)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_at = models.DateTimeField(_("next try"), null=True, blank=True, default=timezone.now)
    error = models.CharField(_("error"), max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["list", "contact"], name="mirror_once")]
        indexes = [
            models.Index(fields=["list", "next_at"], name="mirror_due"),
            models.Index(fields=["list", "id"], name="mirror_failed", condition=~Q(error="")),
        ]
        verbose_name = _("change to mirror")
        verbose_name_plural = _("changes to mirror")

    def __str__(self) -> str:
        return f"{self.list_id}: {self.action} {self.contact_id}"


class BulkChange(models.Model):
    """Something to do with everybody who matches a filter, done in the background, newest contacts first.

    ``below``: only contacts with smaller ids are left to look at. ``list`` None: all contacts.
    """

    action = models.CharField(max_length=20)
    list = models.ForeignKey(ContactList, models.CASCADE, null=True, blank=True, related_name="bulk_changes")
    filters = models.TextField(blank=True)
    values = models.JSONField(default=dict, blank=True)
    below = models.BigIntegerField()
    done = models.PositiveIntegerField(default=0)
    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("bulk change")
        verbose_name_plural = _("bulk changes")
        indexes = [models.Index(fields=["created_at"], name="change_open", condition=Q(finished_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.action}: {self.done}"


class OptOutWord(models.Model):
    """A word by which people opt out, opt in or ask for help; it counts if it is all that they write. See optout.py."""

    class Kind(models.TextChoices):
        STOP = "stop", _("Opt out")
        START = "start", _("Opt in")
        HELP = "help", _("Help")

    word = models.CharField(_("word"), max_length=40, unique=True, help_text=_("In any case of letters."))
    kind = models.CharField(_("meaning"), max_length=5, choices=Kind.choices)
    language = models.CharField(
        _("language"), max_length=20, blank=True, help_text=_("Whoever writes it is answered in this language.")
    )

    class Meta:
        ordering = ["kind", "language", "word"]
        verbose_name = _("opt-out word")
        verbose_name_plural = _("opt-out words")

    def __str__(self) -> str:
        return self.word


class OptOutText(models.Model):
    """What people are answered to a word of this meaning and language; where there is none, the setting is."""

    kind = models.CharField(_("meaning"), max_length=5, choices=OptOutWord.Kind.choices)
    language = models.CharField(
        _("language"), max_length=20, help_text=_("As it stands with the words that are answered so.")
    )
    text = models.TextField(_("answer"), blank=True, help_text=_("Empty: these words are not answered."))

    class Meta:
        ordering = ["language", "kind"]
        constraints = [models.UniqueConstraint(fields=["kind", "language"], name="one_answer_to_words")]
        verbose_name = _("answer to opt-out words")
        verbose_name_plural = _("answers to opt-out words")

    def __str__(self) -> str:
        return f"{self.language}: {self.text}"
