"""A handshake without a network: both ends in memory."""

from __future__ import annotations

import contextlib
import ssl


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str | None, session: object = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Return server's and client's end of a connection; the client has read what was sent."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname=name, session=session),  # type: ignore[arg-type]
    )
    for _ in range(4):
        for end in reversed(ends):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    ends[0].write(b"x")
    assert ends[1].read(1) == b"x"
    return ends
