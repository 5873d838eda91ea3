"""Orders certificates in the manner of ACME: an example of a plugin, without a certificate authority.

``POST /acme-order`` to any worker is an order. The leading worker publishes a token, which all workers
answer with from then on, and exchanges the certificate; where a real plugin would ask an authority, this
one signs the certificate itself.
"""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pingap import BackgroundTasks, Plugin, PluginSettings, Request, Response, Worker, hookimpl

log = logging.getLogger("pingap.acme_tokens")

WELL_KNOWN = "/.well-known/acme-challenge/"
ORDER = "acme-tokens/order"
TOKEN = "acme-tokens/token/"


class AcmeTokens(Plugin):
    """Answers challenges on every host and path of a server, and exchanges one certificate."""

    category = "acme_tokens"
    contract = "1.1"

    class Settings(PluginSettings):
        certificate: str
        """The table of ``[certificates]`` to renew."""
        domains: list[str]
        """Names in the certificate."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.certificate, self.domains = settings.certificate, settings.domains
        self.tokens: dict[str, bytes] = {}

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        self.worker = worker
        tasks.start_service(self.learn_tokens)

    async def learn_tokens(self) -> None:
        with self.worker.bus.subscribe(TOKEN) as messages:
            async for message in messages:
                self.tokens[message.topic.removeprefix(TOKEN)] = message.value

    @hookimpl
    def server_request(self, request: Request) -> Response | None:
        if request.path.startswith(WELL_KNOWN):
            answer = self.tokens.get(request.path.removeprefix(WELL_KNOWN))
            return Response(404) if answer is None else Response(200, answer)
        if request.path == "/acme-order" and request.method == "POST":
            self.worker.bus.publish(ORDER, b"")
            return Response(202)
        return None

    async def lead(self, tasks: BackgroundTasks, worker: Worker) -> None:
        with worker.bus.subscribe(ORDER) as orders:
            async for _ in orders:
                token = secrets.token_urlsafe()
                worker.bus.publish(TOKEN + token, f"{token}.thumbprint".encode(), retain=True)
                log.info("token %s", token)
                worker.certificates.replace(self.certificate, *signed(self.domains))


def signed(domains: list[str]) -> tuple[bytes, bytes]:
    """Return a certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme-tokens")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, domains)), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private
