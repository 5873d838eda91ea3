"""TLS at both ends of a proxy: a client that sends what it is told, an origin that is scripted.

TLS ends before plugins begin; the few that look at it (``ctx.connection.tls``) need a certificate, not these.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import warnings

from pingap.testing import Client, Upstream
from support.certificates import Issued
from support.origin import Script, echo
from support.process import Process


def client_context(
    authority: Issued | None = None,
    own: tuple[str, str] | None = None,
    version: ssl.TLSVersion | None = None,
) -> ssl.SSLContext:
    """Return a context that trusts one authority, or everybody.

    :param own: files of a certificate and its key to show.
    :param version: the only one to speak.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=authority.cert)
    if own is not None:
        context.load_cert_chain(*own)
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        if version is ssl.TLSVersion.TLSv1_1:
            context.set_ciphers("ALL:@SECLEVEL=0")
    return context


class TlsClient(Client):
    """One connection by TLS."""

    sock: ssl.SSLSocket

    def __init__(
        self,
        proxy: Process,
        context: ssl.SSLContext,
        name: str | None = None,
        session: ssl.SSLSession | None = None,
        *,
        server: str = "web",
    ) -> None:
        super().__init__(("127.0.0.1", proxy.port(server)))
        try:
            self.sock = context.wrap_socket(
                self.sock,
                server_hostname=name,
                session=session,
                suppress_ragged_eofs=False,
            )
        except BaseException:
            self.sock.close()
            raise

    def _more(self) -> bytes:
        try:
            return super()._more()
        except ssl.SSLEOFError as error:
            raise AssertionError("the connection ended without a close of TLS") from error

    @property
    def peer(self) -> bytes:
        """The certificate of the other side, DER."""
        return self.sock.getpeercert(binary_form=True) or b""


class TlsOrigin(Upstream):
    """An origin that speaks TLS.

    :param own: files of its certificate and key.
    :param clients: certifies clients, who must then show a certificate.
    :param path: listen on a Unix socket with this path.
    """

    def __init__(
        self,
        own: tuple[str, str],
        script: Script = echo,
        *,
        clients: Issued | None = None,
        path: str | None = None,
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*own)
        self.names: list[str | None] = []
        self.resumed: list[bool] = []
        self.context.sni_callback = lambda tls, name, context: self.names.append(name)
        if clients is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(cadata=clients.cert)
        super().__init__(script, path=path)

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            wrapped = self.context.wrap_socket(sock, server_side=True)
        except OSError:
            self._open.discard(sock)
            sock.close()
            return
        self._open.discard(sock)
        self._open.add(wrapped)
        self.resumed.append(bool(wrapped.session_reused))
        super()._serve(wrapped, number)


def end_tls(sock: ssl.SSLSocket) -> None:
    """Say the end of our side, without waiting for the other's."""
    sock.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        sock.unwrap()
    sock.settimeout(10)
