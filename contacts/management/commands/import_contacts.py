from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from contacts import encodings, import_files, import_views, import_write, importing
from contacts.import_forms import Reading, is_separator
from contacts.import_rows import NUMBER
from contacts.models import ContactList, Import

WIDTH = 40  # characters of the progress bar


class Command(BaseCommand):
    help = (
        "Import contacts from a CSV or XLSX file onto a list. Encoding, separator and columns are guessed. "
        "Rows that are not taken are written to FILE.rejected.csv, each with its reason."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--list", required=True, metavar="NAME", help="the list that everybody is put on")
        parser.add_argument("--create-list", action="store_true", help="make the list if there is none of that name")
        parser.add_argument("--encoding", choices=list(encodings.LABELS), help="instead of the guess")
        parser.add_argument("--delimiter", help="instead of the guess")
        parser.add_argument(
            "--duplicates",
            choices=[import_write.SKIP, import_write.FILL, import_write.UPDATE],
            default=import_write.SKIP,
            help="what becomes of a contact that is known: left alone, filled in, or updated (default: skip)",
        )
        parser.add_argument(
            "--region",
            default=settings.SMSDASH_DEFAULT_REGION or "",
            help="country of numbers without one, such as DE (default: SMSDASH_DEFAULT_REGION)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.check_list(options["list"], options["create_list"])
        run = self.receive(options["file"])
        try:
            plan = self.plan(run, options)
        except (CommandError, ValueError) as error:
            importing.discard(run)
            raise CommandError(str(error)) from error
        importing.begin(run, plan, wake=False)
        for now in importing.run_here(run):
            self.show(now)
        self.stderr.write("")
        run.refresh_from_db()
        target = options["file"].with_suffix(".rejected.csv")
        with target.open("w", encoding="utf-8-sig", newline="") as file:
            file.writelines(import_views.rejected_lines(run))
        for name in ("added", "updated", "skipped", "rejected"):
            self.stdout.write(f"{name}: {getattr(run, name)}")
        if run.state != Import.State.DONE:
            raise CommandError(run.error or f"The import was {run.get_state_display().lower()}.")

    def check_list(self, name: str, create: bool) -> None:
        if not create and not ContactList.objects.filter(name=name).exists():
            names = ", ".join(ContactList.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no list “{name}”. Lists: {names}. Add --create-list to make it.")

    def receive(self, path: Path) -> Import:
        try:
            with path.open("rb") as file:
                return import_files.receive(path.name, file)
        except (OSError, import_files.FileError) as error:
            raise CommandError(str(error)) from error

    def plan(self, run: Import, options: dict[str, Any]) -> importing.Plan:
        """Raises CommandError, ValueError."""
        delimiter = options["delimiter"] or ""
        if delimiter and not is_separator(delimiter):
            raise CommandError("The delimiter is one character; no letter, digit, + or quotation mark.")
        form = Reading.guessed(run, options["encoding"] or "", delimiter)
        if NUMBER not in form.columns:
            raise CommandError("No column looks like phone numbers. Name it “number” in the first row.")
        to, made = ContactList.objects.get_or_create(name=options["list"])
        if made:
            import_write.made_list(run, to)
        return form.plan_with(options["region"].upper(), options["duplicates"], [to.pk])

    def show(self, run: Import) -> None:
        share = importing.share(run)
        bar = "#" * round(WIDTH * share)
        rate = run.rows / run.cursor["seconds"] if run.cursor.get("seconds") else 0
        self.stderr.write(f"\r[{bar:<{WIDTH}}] {share:4.0%} {run.rows:,} rows, {rate:,.0f} a second ", ending="")
