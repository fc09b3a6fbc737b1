"""What the four operations of the seed take and answer, for the description; their bytes are the Dialect's."""

from __future__ import annotations

from ninja import Schema
from pydantic import ConfigDict, Field

from .schemas import Time


class SeedMessage(Schema):
    to: str | list[str] = Field(description="A number, or up to 5,000.", examples=["+1234567890"])
    message: str = Field(min_length=1, max_length=1600, examples=["Hello from SMS Provider!"])
    from_: str = Field("", alias="from", description="The sender ID; empty: the account's.")
    scheduled_at: Time | None = None
    callback_url: str | None = Field(None, description="Where reports of these messages are posted, signed.")


class SeedRefusal(Schema):
    code: str
    message: str


class SeedEntry(Schema):
    """Of one number of an array."""

    to: str
    status: str
    message_id: str | None = None
    error: SeedRefusal | None = None


class SeedSent(Schema):
    model_config = ConfigDict(extra="allow")

    success: bool
    message_id: str | None = Field(None, description="Of the first message that was taken.")
    credits_used: float | None = None
    credits_remaining: float | None = Field(None, description="null: unlimited; not there: not known.")
    status: str
    error: SeedRefusal | None = None
    messages: list[SeedEntry] = Field([], description="An entry for each number, where `to` is an array.")


class SeedStatus(Schema):
    model_config = ConfigDict(extra="allow")

    message_id: str
    to: str
    from_: str = Field(alias="from")
    message: str
    status: str = Field(description="queued, sent, delivered, failed or expired")
    sent_at: Time | None
    delivered_at: Time | None
    scheduled_at: Time | None = None
    error: SeedRefusal | None = None


class SeedAccount(Schema):
    model_config = ConfigDict(extra="allow")

    success: bool
    name: str
    from_: str = Field(alias="from")
    credits_remaining: float | None = Field(None, description="null: unlimited; not there: not known.")


class SeedWebhook(Schema):
    url: str = Field(examples=["https://your-server.com/sms-webhook"])
    events: list[str] = Field([], examples=[["message.delivered", "message.failed"]])


class SeedRegistered(Schema):
    model_config = ConfigDict(extra="allow")

    success: bool
    webhook_id: str
    url: str
    events: list[str]
    secret: str = Field(description="What its deliveries are signed with.")
