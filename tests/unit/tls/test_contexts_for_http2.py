"""RFC 9113, 9.2: what HTTP/2 demands of TLS, on both sides."""

from __future__ import annotations

import ssl

from pingap.tls.client_context import ClientTls
from pingap.tls.options import TlsOptions

SERVER = TlsOptions(alpn=("h2", "http/1.1")).context()
CLIENT = ClientTls("a.test", alpn=("h2", "http/1.1")).context


def test_renegotiation_and_compression_are_off() -> None:
    for context in (SERVER, CLIENT):
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION


def test_a_backend_of_http1_may_renegotiate() -> None:
    """Some ask for a client certificate in this way."""
    assert not ClientTls("a.test").context.options & ssl.OP_NO_RENEGOTIATION


def test_the_suite_that_every_peer_has() -> None:
    names = {cipher["name"] for cipher in SERVER.get_ciphers()}
    assert "ECDHE-RSA-AES128-GCM-SHA256" in names


def test_nobody_is_asked_for_a_certificate_later() -> None:
    assert not SERVER.post_handshake_auth
    assert not CLIENT.post_handshake_auth
