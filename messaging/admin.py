"""What was sent, for administrators to read. Sending, canceling and resending is done on the operators' pages."""

from __future__ import annotations

from django.contrib import admin

from providers.admin import AccountFilter, Record

from . import models


@admin.register(models.Message)
class MessageAdmin(Record):
    list_display = ("id", "number", "status", "account", "error_code", "segments", "created_at", "done_at")
    list_filter = ("status", AccountFilter)
    search_fields = ("number__startswith",)
    ordering = ("-id",)
    raw_id_fields = ("account", "campaign")
    sealed = ("account__credentials",)


@admin.register(models.Campaign)
class CampaignAdmin(Record):
    list_display = ("id", "name", "account", "total", "expanded", "due_at", "created_at")
    list_filter = (AccountFilter,)
    ordering = ("-id",)
    exclude = ("recipients",)
    sealed = ("account__credentials", "recipients")


@admin.register(models.DeliveryReport)
class DeliveryReportAdmin(Record):
    list_display = ("seen_at", "account", "provider_id", "number", "status", "raw_status", "error_code")
    ordering = ("-seen_at",)
    raw_id_fields = ("account", "message")
    sealed = ("account__credentials",)


@admin.register(models.Tally)
class TallyAdmin(Record):
    list_display = ("status", "n", "account_id", "campaign_id", "hour", "version")
    ordering = ("-id",)


@admin.register(models.Lease)
class LeaseAdmin(Record):
    list_display = ("account", "holder", "until")
    sealed = ("account__credentials",)


@admin.register(models.Worker)
class WorkerAdmin(Record):
    list_display = ("name", "started_at", "progress_at")
    ordering = ("-progress_at",)


@admin.register(models.Posted)
class PostedAdmin(Record):
    list_display = ("at", "account", "tries", "next_at", "error")
    ordering = ("-id",)
    exclude = ("body", "headers", "query")
    sealed = ("account__credentials", "body", "headers", "query")


@admin.register(models.Attempt)
class AttemptAdmin(Record):
    list_display = ("at", "message_id", "account", "error_code", "error_text")
    ordering = ("-id",)
    raw_id_fields = ("message",)
    sealed = ("account__credentials",)


@admin.register(models.BulkAction)
class BulkActionAdmin(Record):
    list_display = ("created_at", "action", "filters", "done", "finished_at")
    ordering = ("-id",)


@admin.register(models.Route)
class RouteAdmin(Record):
    list_display = ("name", "strategy", "created_at")


@admin.register(models.RouteMember)
class RouteMemberAdmin(Record):
    list_display = ("route", "account", "position", "weight", "prefixes")
    list_select_related = ("route",)
    sealed = ("account__credentials",)


@admin.register(models.Conversation)
class ConversationAdmin(Record):
    list_display = ("number", "state", "assigned_to", "flag", "snoozed_until", "last_at", "account")
    list_filter = ("state", AccountFilter)
    list_select_related = ("assigned_to",)
    search_fields = ("number__startswith",)
    ordering = ("-last",)
    raw_id_fields = ("account", "assigned_to")
    sealed = ("account__credentials",)


@admin.register(models.ReadMark)
class ReadMarkAdmin(Record):
    list_display = ("user", "conversation", "upto")
    list_select_related = ("user", "conversation")
    ordering = ("-id",)


@admin.register(models.AutoReply)
class AutoReplyAdmin(Record):
    list_display = ("name", "enabled", "position", "match", "account")
    sealed = ("account__credentials",)


@admin.register(models.Answer)
class AnswerAdmin(Record):
    list_display = ("campaign_id", "heard", "rule", "confirms")
    list_select_related = ("rule",)
    ordering = ("-campaign_id",)
    raw_id_fields = ("campaign",)


@admin.register(models.Listening)
class ListeningAdmin(Record):
    list_display = ("account", "next_at", "since", "pushed_at")
    ordering = ("account",)
    sealed = ("account__credentials",)


@admin.register(models.Attachment)
class AttachmentAdmin(Record):
    list_display = ("id", "state", "type", "size", "tries", "reason", "checked_at")
    list_filter = ("state",)
    exclude = ("thumbnail",)
    ordering = ("-id",)
    sealed = ("thumbnail",)


@admin.register(models.Template)
class TemplateAdmin(Record):
    list_display = ("name", "created_by", "updated_at")
    search_fields = ("name",)
