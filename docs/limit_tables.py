"""The tables of everything that is bounded, read from the code; a part of ``generate.py``."""

from __future__ import annotations

from limits_of_clients import (
    client_limits,
    connection_limits,
    flood_limits,
    http2_limits,
    state_limits,
    turn_limits,
)
from limits_of_process import message_limits, process_limits
from limits_of_upstreams import health_limits, http2_upstream_limits, upstream_limits
from markdown_table import table


def limits() -> str:
    """Return the table of everything that is bounded."""
    head = ("What", "Limit", "Key", "What happens")
    return "\n".join(
        f"### {title}\n\n{table(head, rows)}"
        for title, rows in (
            ("Requests of clients", list(client_limits())),
            ("Connections of clients", list(connection_limits())),
            ("Work per turn of the event loop", list(turn_limits())),
            ("Memory of one connection", list(state_limits())),
            ("Clients of HTTP/2", list(http2_limits())),
            ("Frames of HTTP/2 that ask for nothing", list(flood_limits())),
            ("Upstreams", list(upstream_limits())),
            ("Upstreams of HTTP/2", list(http2_upstream_limits())),
            ("Messages that plugins read", list(message_limits())),
            ("Checks of backends", list(health_limits())),
            ("The process", list(process_limits())),
        )
    )
