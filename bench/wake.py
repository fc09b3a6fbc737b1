"""From Send to the first request, through a running installation at rest. ``python -m bench.wake TIMES`` prints JSON.

The server of its own uses the data directory and the database of the environment.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from datetime import datetime

from tests.server import Server, free_port, until

ASK = """
SELECT c.created_at, e.at FROM messaging_campaign c JOIN messaging_message m ON m.campaign_id = c.id
JOIN providers_exchange e ON e.id = m.exchange ORDER BY c.id DESC LIMIT 1
"""
REST = 2.5  # seconds between two messages, until the workers are idle again


def run(times: int) -> dict[str, object]:
    with Server({**os.environ, "PORT": str(free_port()), "SMSDASH_DEMO": "1", "SMSDASH_WORKERS": "2"}) as server:
        server.log_in()
        account = server.query("SELECT id FROM providers_provideraccount WHERE kind = 'smsprovider'")[0][0]
        taken = [seconds(server, account, n) for n in range(times + 1)][1:]  # the first request warms the web up
    return {
        "bench": "wake",
        "database": "postgresql" if os.environ.get("DATABASE_URL") else "sqlite",
        "case": "seconds from Send to the first request, idle",
        "median": round(statistics.median(taken), 3),
        "slowest": round(max(taken), 3),
    }


def seconds(server: Server, account: int, n: int) -> float:
    time.sleep(REST)
    text = f"Number {n}"
    server.submit("/compose/", account=str(account), numbers=f"+1555700{n:04d}", text=text)
    sent = f"SELECT 1 FROM messaging_message WHERE text = '{text}' AND status IN ('sent', 'delivered')"
    until("it to be sent", lambda: server.query(sent))
    accepted, left = (
        moment if isinstance(moment, datetime) else datetime.fromisoformat(moment) for moment in server.query(ASK)[0]
    )
    return (left - accepted).total_seconds()


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]))))
