"""The certificates of a worker, as plugins see and replace them."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from pingap.build.runtime import Runtime
from pingap.config.problem import shortened
from pingap.shared_state.messages import LARGEST_VALUE
from pingap.tls.facts import CertificateFacts
from pingap.tls.options import reason, use_certificate
from pingap.tls.pem import CertificateError
from pingap.tls.replacements import CHALLENGE, Replacement, too_large
from pingap.tls.selection import Served, owners

if TYPE_CHECKING:
    from pingap.tls.certificates import Certificate

_HOST: Final = re.compile(
    r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
)


class Certificates:
    """Implements ``pingap.CertificateStore``.

    :param runtime: returns the runtime that a plugin belongs to, whose tables it refers to.
    """

    def __init__(self, runtime: Callable[[], Runtime]) -> None:
        self._runtime = runtime

    def replace(
        self,
        name: str,
        chain: bytes,
        key: bytes,
        names: Sequence[str] = (),
        *,
        alpn: str = "",
    ) -> None:
        """Serve a certificate from now on; see ``CertificateStore``."""
        runtime = self._runtime()
        self._check_use(runtime, name, alpn)
        if (size := len(chain) + len(key)) > LARGEST_VALUE:
            raise ValueError(too_large(size))
        loaded = _checked(runtime, name, chain, key, names)
        _check_openssl(runtime, loaded.pem, alpn)
        table = runtime.certificate_digests.get(name, "")
        runtime.certificates.publish(name, table, loaded.names, loaded.pem, alpn)

    def _check_use(self, runtime: Runtime, name: str, alpn: str) -> None:
        table = runtime.config.certificates.get(name)
        if alpn not in ("", CHALLENGE):
            raise ValueError(f"alpn is {shortened(alpn)}, expected {CHALLENGE!r}")
        if alpn and table is not None:
            raise ValueError(f"{shortened(name)} is a table of [certificates]: use another name")
        if table is not None and table.is_ca:
            raise ValueError(f"{shortened(name)} signs certificates on demand (is_ca)")

    def remove(self, name: str) -> None:
        """Serve the certificate of the configuration; see ``CertificateStore``."""
        runtime = self._runtime()
        runtime.certificates.remove(name, runtime.certificate_digests.get(name, ""))

    def list(self) -> Sequence[CertificateFacts]:
        """Return the facts of all certificates that are served."""
        runtime = self._runtime()
        return tuple(_facts(runtime))


def _checked(
    runtime: Runtime, name: str, chain: bytes, key: bytes, names: Sequence[str]
) -> Certificate:
    """Return a certificate that can be served.

    :raises ValueError: it cannot be served.
    """
    try:
        from pingap.tls import certificates
    except ImportError:
        raise ValueError("certificates need the package cryptography") from None
    table = runtime.config.certificates.get(name)
    if isinstance(names, str):
        raise TypeError(f"names is a sequence of names, not the text {shortened(names)}")
    if names:
        served = tuple(map(certificates.normal_name, names))
    else:
        served = certificates.split_domains("" if table is None else table.domains)
    try:
        loaded = certificates.parse_pair(chain, key, served)
    except CertificateError as error:
        raise ValueError(f"{error.key}: {error}") from None
    if (why := certificates.invalid(loaded.leaf, certificates.utc_now())) is not None:
        raise ValueError(why)
    for one in loaded.names:
        if not _is_host(one):
            raise ValueError(f"{shortened(one)} is not the name of a host")
    return loaded


def _is_host(name: str) -> bool:
    if _HOST.fullmatch(name) and len(name) <= 253:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _check_openssl(runtime: Runtime, pem: bytes, alpn: str) -> None:
    """Check that OpenSSL accepts a certificate, with the options of each server.

    :raises ValueError: OpenSSL rejects it.
    """
    try:
        use_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pem)
        for server in runtime.servers.values():
            if server.tls is not None:
                server.tls.context_for(pem, alpn)
    except ssl.SSLError as error:
        raise ValueError(f"OpenSSL rejects it: {reason(error)}") from None


def _facts(runtime: Runtime) -> Iterator[CertificateFacts]:
    replacements = runtime.certificates.active(runtime.certificate_digests)
    names: dict[int, list[str]] = {}
    for name, owner in owners(runtime.served, replacements).items():
        names.setdefault(id(owner), []).append(name)
    rest = {one.name: one for one in replacements}
    for served in runtime.served:
        if (new := rest.pop(served.name, None)) is not None:
            yield _of_replacement(new, names)
        elif served.certificate is not None:
            yield _of_served(served, served.certificate, names)
    for new in rest.values():
        yield _of_replacement(new, names)


def _of_served(
    served: Served, certificate: Certificate, names: dict[int, list[str]]
) -> CertificateFacts:
    from pingap.tls.certificates import facts_of

    found = tuple(names.get(id(served), ()))
    return facts_of(certificate.leaf, served.name, found, "configuration")


def _of_replacement(one: Replacement, names: dict[int, list[str]]) -> CertificateFacts:
    from pingap.tls.certificates import facts_of, parse_chain

    found = one.names if one.alpn else tuple(names.get(id(one), ()))
    return facts_of(parse_chain(one.pem, "chain")[0], one.name, found, "plugin", one.alpn)
