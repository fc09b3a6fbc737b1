"""The table of test_error_table.py: what a provider says, and what comes of it. A row is a request of two messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from providers import errors
from providers.base import Dialect
from providers.types import Outcome, Problem, Reply, Send, SendResult, Status
from tests.messaging.wire_server import Breaks

NUMBERS = ["+15552000001", "+15552000002"]


class End(NamedTuple):
    """``again``: when they are handed over once more, ``now`` or ``later``; empty: never by themselves.

    ``account``: paused, down or held, and for how many seconds. ``elsewhere``: another account of the route has them.
    """

    statuses: str
    attempts: int = 1
    again: str = ""
    account: str = ""
    elsewhere: bool = False


SENT = End("sent sent")
FAILED = End("failed failed")
IN_DOUBT = End("uncertain uncertain")
RETRIED = End("queued queued", 1, "later", "down held 1", elsewhere=True)
PAUSED = End("queued queued", 0, "now", "paused", elsewhere=True)


def held(seconds: int) -> End:
    return End("queued queued", 0, "now", f"held {seconds}")


def down(seconds: int) -> End:
    return End("queued queued", 0, "now", f"down held {seconds}", elsewhere=True)


Says = Callable[[Dialect, Send], Reply]


@dataclass(frozen=True)
class Row:
    """``says``: a text is the account's base URL. ``reads``: what the operator reads; ``but``: where other words come,
    by kind, or where a wire tells less or more."""

    name: str
    says: Reply | Breaks | Says | str
    end: End
    reads: str = ""
    but: Mapping[str, str | tuple[End, str]] = field(default_factory=dict)

    def expected(self, kind: str) -> tuple[End, str]:
        found = self.but.get(kind, self.reads)
        return found if isinstance(found, tuple) else (self.end, found)


KEY = " Check the account's credentials."
URL = " Check the account's base URL."
TOP_UP = " Top the account up at the provider, then resume it."
TRIES = " Nothing was sent; smsdash tries again."
WAITS = " Nothing was sent; smsdash goes on as soon as the provider allows it."
MAYBE = " The provider may have taken the message."
ASK = " Ask the provider why, then resend the message."
MEND = " Mend that, then resend the message."
NUMBER = " Correct the number, then write to it again."
SHORTER = " Write a shorter one."

NO_API = "There is no such API at this address ({})." + URL
BROKE = "The provider failed while it had the message ({})." + MAYBE
REFUSED = "The provider refused the request ({})." + ASK
KEY_REFUSED = "The provider refused the key." + KEY
NO_CREDITS = "There are no credits left." + TOP_UP
TOO_FAST = "The provider's rate limit is reached." + WAITS
AWAY = "The provider is out of service for the moment." + TRIES
NOT_MENTIONED = "The provider's answer does not mention this number. It may have taken the message."
NO_REASON = "The provider refused the message." + ASK
BROKEN = "The connection broke before an answer came ({})." + MAYBE
UNVERIFIED = "certificate verify failed: self-signed certificate"
REACH = "The provider could not be reached ({})." + TRIES

HTML = {"content-type": "text/html; charset=utf-8"}
PAGE = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"
WORKS = "“It works!”"
HUGE = 20_000  # bytes, of which the test is willing to read 10,000
TOO_LONG = "The provider's answer is far too long to be one." + MAYBE
LATIN, SPANISH = (
    {"content-type": "application/json; charset=iso-8859-1"},
    '{"success": true, "a": "Señor"}'.encode("latin1"),
)
ODD = '“{"success": true, "a": "Se\ufffdor"}”'
PACKED = {"content-encoding": "gzip"}
WINDOW = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}


def says(words: str) -> str:
    return f"The provider says: “{words}”" + ("" if words.endswith(".") else ".")


def http(status: int, reason: str = "empty") -> str:
    return f"HTTP {status}, {reason}"


def unclear(words: str) -> str:
    return f"The provider's answer could not be understood ({words})." + MAYBE


def a_text(words: str) -> dict[str, str | tuple[End, str]]:
    """A phone gateway's errors may be plain texts."""
    return {"smsgateway": f"The provider answered with a text instead of data: “{words}”." + MAYBE}


def body(found: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status, {"content-type": "application/json", **headers}, json.dumps(found).encode())


def text(found: str) -> Reply:
    return Reply(200, {"content-type": "application/json"}, found.encode())


STATUSES = (
    Row("301", Reply(301, {"location": "https://elsewhere.example/"}), PAUSED, NO_API.format(http(301))),
    Row("302 to a page", Reply(302, HTML, PAGE), PAUSED, NO_API.format(http(302, WORKS))),
    Row("400", Reply(400), FAILED, REFUSED.format(http(400))),
    Row("400, a page", Reply(400, HTML, PAGE), FAILED, REFUSED.format(http(400, WORKS))),
    Row("401", Reply(401), PAUSED, KEY_REFUSED),
    Row("402", Reply(402), PAUSED, NO_CREDITS),
    Row("403, a page", Reply(403, HTML, PAGE), PAUSED, KEY_REFUSED),
    Row("404, a page", Reply(404, HTML, PAGE), PAUSED, NO_API.format(http(404, WORKS))),
    Row("405", Reply(405), PAUSED, NO_API.format(http(405))),
    Row("408", Reply(408), IN_DOUBT, BROKE.format(http(408))),
    Row("409", Reply(409), FAILED, REFUSED.format(http(409))),
    Row("413", Reply(413), FAILED, REFUSED.format(http(413))),
    Row("422", Reply(422), FAILED, REFUSED.format(http(422))),
    Row("429", Reply(429), held(1), TOO_FAST),
    Row("429, Retry-After", Reply(429, {"retry-after": "90"}), held(90), TOO_FAST),
    Row("429, a window", Reply(429, WINDOW), held(30), TOO_FAST),
    Row("429, nonsense", Reply(429, {"retry-after": "soon"}), held(1), TOO_FAST),
    Row("500", Reply(500), IN_DOUBT, BROKE.format(http(500))),
    Row("501", Reply(501), IN_DOUBT, BROKE.format(http(501))),
    Row("502, a page", Reply(502, HTML, PAGE), IN_DOUBT, BROKE.format(http(502, WORKS))),
    Row("503", Reply(503), down(1), AWAY),
    Row("503, Retry-After", Reply(503, {"retry-after": "90"}, PAGE), down(90), AWAY),
    Row("504", Reply(504), IN_DOUBT, BROKE.format(http(504))),
    Row("520", Reply(520), IN_DOUBT, BROKE.format(http(520))),
)

BODIES = (
    Row("empty", Reply(200), IN_DOUBT, unclear(http(200))),
    Row("created, empty", Reply(201), IN_DOUBT, unclear(http(201))),
    Row("no content", Reply(204), IN_DOUBT, unclear(http(204))),
    Row("a page", Reply(200, HTML, PAGE), IN_DOUBT, unclear(http(200, WORKS)), a_text("It works!")),
    Row("a text", text("Out of memory"), IN_DOUBT, unclear(http(200, "“Out of memory”")), a_text("Out of memory")),
    Row("null", text("null"), IN_DOUBT, unclear(http(200, "“null”")), a_text("null")),
    Row("a number", text("7"), IN_DOUBT, unclear(http(200, "“7”")), a_text("7")),
    Row("a list", text("[]"), IN_DOUBT, unclear(http(200, "“[]”")), a_text("[]")),
    Row("another object", text('{"hello": 1}'), IN_DOUBT, unclear(http(200, '“{"hello": 1}”'))),
    Row("success alone", text('{"success": true}'), IN_DOUBT, unclear(http(200, '“{"success": true}”'))),
    Row("cut JSON", text('{"success": tr'), IN_DOUBT, unclear(http(200, '“{"success": tr”')), a_text('{"success": tr')),
    Row("another charset", Reply(200, LATIN, SPANISH), IN_DOUBT, unclear(http(200, ODD)), a_text(ODD[1:-1])),
    Row("packed wrongly", Reply(200, PACKED, b"{}"), IN_DOUBT, "The answer broke off before its end." + MAYBE),
    Row("far too long", Reply(200, {}, b" " * HUGE), IN_DOUBT, TOO_LONG),
    Row(
        "failure alone",
        text('{"success": false}'),
        FAILED,
        NO_REASON,
        {"voipcommunications": (IN_DOUBT, unclear(http(200, '“{"success": false}”')))},
    ),
)

CONNECTIONS = (
    Row("closed", Breaks.NO_ANSWER, IN_DOUBT, BROKEN.format("Remote end closed connection without response")),
    Row("reset", Breaks.RESET, IN_DOUBT, BROKEN.format("Connection reset by peer")),
    Row("half a head", Breaks.HALF_HEAD, IN_DOUBT, unclear(http(200))),
    Row("half a body", Breaks.HALF_BODY, IN_DOUBT, "The answer broke off before its end." + MAYBE),
    Row("a head that trickles", Breaks.SLOW_HEAD, IN_DOUBT, "The answer had no end after 12 seconds." + MAYBE),
    Row("a body that trickles", Breaks.SLOW_BODY, IN_DOUBT, "The answer had no end after 12 seconds." + MAYBE),
    Row("silence", Breaks.SILENCE, IN_DOUBT, "No answer came within 9 seconds." + MAYBE),
    Row("nobody listens", "http://127.0.0.1:9", RETRIED, REACH.format("Connection refused")),
    Row("no such host", "http://sms.invalid", RETRIED, REACH.format("Name or service not known")),
    Row("nobody accepts", "full", RETRIED, "The provider could not be reached within 4 seconds." + TRIES),
    Row("no TLS there", "plain", RETRIED, REACH.format("wrong version number")),
    Row("unknown certificate", "self-signed", RETRIED, REACH.format(UNVERIFIED)),
    Row("no base URL", "http://127.0.0.1:99999", PAUSED, "The base URL is not written as https://host/path." + URL),
)


# --- In each wire's own words ------------------------------------------------------------------------


def refuses(error: errors.ProviderError) -> Says:
    return lambda dialect, op: dialect.refuse(error)


def tells(*outcomes: Outcome) -> Says:
    """An outcome for each message; fewer: the others are not mentioned."""

    def say(dialect: Dialect, op: Send) -> Reply:
        by_number = dict(zip(NUMBERS, outcomes, strict=False))
        told = [m for m in op.messages if m.number in by_number]
        made = [replace(by_number[m.number], number=m.number, provider_id=f"{m.number[-1]}7") for m in told]
        try:
            return dialect.write(replace(op, messages=tuple(told)), SendResult(tuple(made)))
        except errors.ProviderError as error:
            return dialect.refuse(error)

    return say


TAKEN = Outcome(Status.QUEUED)
BAD = Outcome(Status.FAILED, problem=Problem("invalid_number", "No such number."))
HALF = End("sent failed")

WORDS = (
    Row("key refused", refuses(errors.KeyRefused("Not yours.")), PAUSED, says("Not yours.") + KEY),
    Row("no credits", refuses(errors.NoCredits("Pay")), PAUSED, says("Pay") + TOP_UP),
    Row("too fast", refuses(errors.RateLimited("Slow down.")), held(1), says("Slow down.") + WAITS),
    Row("too fast, wait", refuses(errors.RateLimited("Slow.", retry_after=90.0)), held(90), says("Slow.") + WAITS),
    Row("away", refuses(errors.Unavailable("Back soon.")), down(1), says("Back soon.") + TRIES),
    Row("away, wait", refuses(errors.Unavailable("Back.", retry_after=90.0)), down(90), says("Back.") + TRIES),
    Row("refused", refuses(errors.Rejected("Spam.")), FAILED, says("Spam.") + ASK),
    Row("bad number", refuses(errors.InvalidNumber("“1” is none.")), FAILED, says("‘1’ is none.") + NUMBER),
    Row("too long", refuses(errors.TextTooLong("Too long")), FAILED, says("Too long") + SHORTER),
    Row("incomplete", refuses(errors.InvalidRequest("Where to?")), FAILED, "The provider says: “Where to?”" + ASK),
    Row("nothing there", refuses(errors.NotFound("Nothing here.")), PAUSED, says("Nothing here.") + URL),
    Row("it failed", refuses(errors.Uncertain("Oops.")), IN_DOUBT, says("Oops.") + MAYBE),
    Row("taken", tells(TAKEN, TAKEN), SENT),
    Row("all refused", tells(BAD, BAD), FAILED, says("No such number.") + MEND),
    Row("one refused", tells(TAKEN, BAD), HALF, says("No such number.") + MEND),
    Row("one left out", tells(TAKEN), End("sent uncertain"), NOT_MENTIONED),
)

ENTRY = {"code": 200, "code_desc": "", "from": "", "country": "US", "msg": "Hello", "type": "BULKSMS", "sale": 0.01}


def log(*entries: Mapping[str, object]) -> Reply:
    numbered = zip(NUMBERS, entries, strict=True)
    return body({"send_log": [{**ENTRY, "to": number[1:], "smsid": number[-1], **e} for number, e in numbered]})


def gateway(code: int, message: str, status: int = 200) -> Reply:
    return body({"success": False, "data": None, "error": {"code": code, "message": message}}, status)


def refusal(code: str, message: str, status: int) -> Reply:
    return body({"success": False, "error": {"code": code, "message": message}}, status)


INACTIVE = {"success": False, "error": "Invalid or inactive API key", "code": "INVALID_API_KEY"}
OTHER_CODE = {"success": False, "error": {"code": "X1", "message": "Not today."}}
CREDENTIALS = {"error": True, "error_message": "Invalid api credentials"}
DOCUMENTED: Mapping[str, tuple[Row, ...]] = {
    "customersms": (
        Row("INVALID_API_KEY", body(INACTIVE), PAUSED, says("Invalid or inactive API key") + KEY),
        Row("INVALID_API_KEY, 401", body(INACTIVE, 401), PAUSED, says("Invalid or inactive API key") + KEY),
        Row("an object in error", body(OTHER_CODE), FAILED, says("Not today.") + ASK),
        Row("an object in error, 404", body(OTHER_CODE, 404), PAUSED, says("Not today.") + URL),
    ),
    "smsprovider": (
        Row("authentication_failed", refusal("authentication_failed", "No.", 401), PAUSED, says("No.") + KEY),
        Row("insufficient_credits", refusal("insufficient_credits", "Empty.", 402), PAUSED, says("Empty.") + TOP_UP),
        Row("invalid_phone_number", refusal("invalid_phone_number", "Bad.", 422), FAILED, says("Bad.") + NUMBER),
        Row("message_too_long", refusal("message_too_long", "Long.", 400), FAILED, says("Long.") + SHORTER),
        Row("rate_limit_exceeded", refusal("rate_limit_exceeded", "Fast.", 429), held(1), says("Fast.") + WAITS),
        Row("an unknown code, 500", refusal("oops", "Oops.", 500), IN_DOUBT, says("Oops.") + MAYBE),
        Row("an unknown code, 404", refusal("oops", "Where?", 404), PAUSED, "The provider says: “Where?”" + URL),
        Row("error: true", body({"success": False, "error": True}), FAILED, NO_REASON),
        Row("one ID for all", body({"success": True, "message_id": "7", "status": "queued"}), SENT),
    ),
    "voipcommunications": (
        Row("401 in HTTP", body(CREDENTIALS, 401), PAUSED, says("Invalid api credentials") + KEY),
        Row("error_message", body(CREDENTIALS), FAILED, says("Invalid api credentials") + ASK),
        Row(
            "401 in every entry",
            log(*[{"code": 401, "code_desc": "Invalid api credentials"}] * 2),
            PAUSED,
            says("Invalid api credentials") + KEY,
        ),
        Row("one entry refused", log({}, {"code": 406, "code_desc": "Landline"}), HALF, says("Landline") + MEND),
        Row(
            "an entry without a reason",
            log({}, {"code": 499, "status": ""}),
            HALF,
            "The provider says: “The provider's log says nothing more.”" + MEND,
        ),
        Row("expired at once", log(*[{"status": "EXPIRED"}] * 2), End("expired expired")),
        Row(
            "canceled at once",
            log(*[{"status": "CANCELED"}] * 2),
            FAILED,
            "The provider canceled it. Ask the provider why, then resend the message.",
        ),
    ),
    "smsgateway": (
        Row("code 401", gateway(401, "Wrong key"), PAUSED, says("Wrong key") + KEY),
        Row("code 402", gateway(402, "No credits"), PAUSED, says("No credits") + TOP_UP),
        Row("code 500", gateway(500, "Oops."), IN_DOUBT, says("Oops.") + MAYBE),
        Row("code 503", gateway(503, "Later."), down(1), says("Later.") + TRIES),
        Row("a code that nobody knows", gateway(7, "Odd."), FAILED, says("Odd.") + ASK),
        Row("error as a text", body({"success": False, "error": "Odd."}), FAILED, says("Odd.") + ASK),
    ),
}


def rows(kind: str) -> tuple[Row, ...]:
    """A new kind is held to all that does not depend on its documentation."""
    return (*STATUSES, *BODIES, *CONNECTIONS, *WORDS, *DOCUMENTED.get(kind, ()))
