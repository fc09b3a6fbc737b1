"""What became of every message, by the rows of an installation and by the carrier's own record of what it took."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from tests.server import Server

WAITING = "status IN ('queued', 'sending', 'scheduled')"
# fates (docs/sandbox.md) that spoil the answer to a request, so that only the carrier knows whether it took it
SPOILT = frozenset({"907", "909", "912", "914", "916"})
# not the demo's
MADE = "account_id IN (SELECT id FROM providers_provideraccount WHERE name NOT LIKE '%(sandbox)')"
OURS = f"campaign_id IS NOT NULL AND {MADE}"


@dataclass(frozen=True)
class Judgement:
    """Numbers of messages. ``lost``: accepted and without a row, without an end, or said to be sent and never taken.

    ``in_flight``: in requests on their way when their worker was killed. ``swept``: those that were in doubt because
    of that. ``unexplained``: uncertain, and neither was in flight at a kill nor in a request whose answer the carrier
    spoilt. ``counts_wrong``: kept counts that differ from a recount.
    """

    accepted: int
    taken_once: int
    taken_twice: int
    lost: int
    uncertain: int
    in_flight: int
    swept: int
    unexplained: int
    counts_wrong: int
    reasons: tuple[str, ...]  # of the unexplained

    @property
    def holds(self) -> bool:
        return not (self.taken_twice or self.lost or self.unexplained or self.counts_wrong)

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def waiting(server: Server) -> int:
    return int(server.query(f"SELECT count(*) FROM messaging_message WHERE {OURS} AND {WAITING}")[0][0])


def in_flight(server: Server, accounts: Collection[int] | None = None) -> dict[int, set[int]]:
    """The messages of each request that left and whose end is not written down, by its id. None: of all accounts."""
    rows = server.query("SELECT id, account_id, refs FROM providers_exchange WHERE open")
    return {
        pk: set(json.loads(refs) if isinstance(refs, str) else refs)
        for pk, account, refs in rows
        if accounts is None or account in accounts
    }


def holders(server: Server) -> dict[int, int]:
    """Which supervisor's workers drain an account: its process id, by the account's."""
    rows = server.query("SELECT account_id, holder FROM messaging_lease WHERE holder <> ''")
    return {account: int(holder.split(":")[1]) for account, holder in rows}


def end_leases(server: Server, supervisor: int) -> None:
    """As if the 15 seconds had passed after which the accounts of a killed worker are free."""
    server.execute(f"UPDATE messaging_lease SET until = '2000-01-01' WHERE holder LIKE '%:{supervisor}:%'")


def taken(carrier: Server) -> Counter[str]:
    """How often the carrier took a message to each number."""
    rows = carrier.query("SELECT number, sum(taken) FROM sandbox_message WHERE NOT received GROUP BY number")
    return Counter({number: int(n) for number, n in rows})


def judge(server: Server, carrier: Server, flying: Collection[int]) -> Judgement:
    """Each number had one message. ``flying``: those in requests on their way when their worker was killed."""
    rows = server.query(f"SELECT id, number, status, exchange FROM messaging_message WHERE {OURS}")
    accepted = int(server.query(f"SELECT coalesce(sum(total), 0) FROM messaging_campaign WHERE {MADE}")[0][0])
    went = taken(carrier)
    missing = [row for row in rows if row[1] not in went and row[2] != "uncertain"]
    untold = [row for row in rows if row[1] in went and row[2] in ("queued", "sending", "scheduled", "canceled")]
    swept = {pk for (pk,) in server.query("SELECT message_id FROM messaging_attempt WHERE error_code = 'worker_lost'")}
    doubted = swept - set(flying) | {row[0] for row in rows if row[2] == "uncertain"} - set(flying)
    unexplained = doubted - _spoilt(server)
    return Judgement(
        accepted=accepted,
        taken_once=sum(n == 1 for n in went.values()),
        taken_twice=sum(n > 1 for n in went.values()),
        lost=accepted - len(rows) + len(missing) + len(untold),
        uncertain=sum(row[2] == "uncertain" for row in rows),
        in_flight=len(set(flying)),
        swept=len(swept),
        unexplained=len(unexplained),
        counts_wrong=counts_wrong(server),
        reasons=_reasons(server, unexplained),
    )


def _spoilt(server: Server) -> set[int]:
    """The messages that shared a request with a number whose fate it is to spoil the answer."""
    rows = server.query(
        "SELECT a.exchange, a.message_id, m.number FROM messaging_attempt a JOIN messaging_message m"
        " ON m.id = a.message_id WHERE a.exchange IS NOT NULL AND a.error_code <> 'worker_lost'"
    )
    requests: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for exchange, message, number in rows:
        requests[exchange][message] = number
    return {
        message
        for messages in requests.values()
        if any(number[-3:] in SPOILT for number in messages.values())
        for message in messages
    }


def _reasons(server: Server, messages: Collection[int]) -> tuple[str, ...]:
    rows = server.query("SELECT DISTINCT message_id, error_code, error_text FROM messaging_attempt")
    return tuple(sorted({f"{code}: {text}" for pk, code, text in rows if pk in messages}))


def counts_wrong(server: Server) -> int:
    """Kept counts, of accounts, of their hours and of campaigns, that differ from a recount of the rows."""
    hour = "EXTRACT(EPOCH FROM created_at)" if "DATABASE_URL" in server.environment else "strftime('%s', created_at)"
    hour = f"CAST(floor({hour} / 3600) AS integer)"
    found = 0
    for kept, columns, rows in (
        ("campaign_id = 0 AND hour = 0", "account_id, 0, 0", "TRUE"),
        ("campaign_id = 0 AND hour > 0", f"account_id, 0, {hour}", "TRUE"),
        ("campaign_id > 0", "0, campaign_id, 0", "campaign_id IS NOT NULL"),
    ):
        tallies = f"SELECT account_id, campaign_id, hour, status, n FROM messaging_tally WHERE n <> 0 AND {kept}"
        recount = f"SELECT {columns}, status, count(*) FROM messaging_message WHERE {rows} GROUP BY 1, 2, 3, 4"
        # in one statement: the world moves on between two
        both = [f"(SELECT count(*) FROM ({a} EXCEPT {b}) x)" for a, b in ((tallies, recount), (recount, tallies))]
        found += int(server.query(f"SELECT {' + '.join(both)}")[0][0])
    return found
