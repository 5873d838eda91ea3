"""Which certificate a client gets: by the name it asks for (acme.md, section 2)."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from pingap.tls.options import TlsOptions, use_certificate

if TYPE_CHECKING:
    from pingap.tls.certificates import Certificate

log = logging.getLogger("pingap")

_UNKNOWN_NAME: Final = ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
_DEFECT: Final = ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR


class Issuer(Protocol):
    """Makes certificates on demand (``issuer``)."""

    def pem_for(self, name: str) -> bytes | None:
        """Return key and certificates for a name, or None if there can be none.

        The same bytes for the same certificate, so that they can be recognised.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one entry of ``[certificates]`` serves: a certificate, or any number of them.

    :param names: as in ``Certificate``; ``*`` is the default.
    """

    names: tuple[str, ...]
    certificate: Certificate | None = None
    issuer: Issuer | None = None


class ServerTls:
    """The TLS of one server, as one configuration says.

    Every handshake begins with the same context, which has no certificate: it is also the one
    that session tickets are encrypted with, so that they stay good when certificates change.

    :param served: the certificates, in the order of the configuration: the first with a name counts.
    :param previous: what the server has now. With the same options its context goes on to be used;
        this one chooses the certificates there once it has taken effect.
    :raises OptionError: a setting cannot be honoured.
    :raises ssl.SSLError: OpenSSL refuses a certificate.
    """

    def __init__(
        self,
        options: TlsOptions,
        served: tuple[Served, ...],
        previous: ServerTls | None = None,
    ) -> None:
        self.options = options
        self._chosen = chosen = _Chosen()
        for one in served:
            if one.issuer is not None:
                target: ssl.SSLContext | _Signed = _Signed(self.options, one.issuer)
            else:
                assert one.certificate is not None
                target = self.options.context()
                use_certificate(target, one.certificate.pem)
            for name in one.names:
                chosen.by_name.setdefault(name, target)
        if previous is not None and previous.options == options:
            self.context: ssl.SSLContext = previous.context
        else:
            self.context = options.context()
            self.take_effect()

    def take_effect(self) -> None:
        """Serve these certificates from the next handshake on; connections are not touched."""
        self.context.sni_callback = self._choose

    def _choose(
        self, tls: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> ssl.AlertDescription | None:
        """Called by OpenSSL in every handshake; the alert that is returned ends it."""
        try:
            found = self._chosen.find((name or "").lower().removesuffix("."))
        except Exception:
            log.exception("no certificate could be made for %r", name)
            return _DEFECT
        if found is None:
            return _UNKNOWN_NAME
        tls.context = found
        return None


@dataclass(slots=True)
class _Chosen:
    by_name: dict[str, ssl.SSLContext | _Signed] = field(default_factory=dict)

    def find(self, name: str) -> ssl.SSLContext | None:
        """Return the context for a name; empty for a client that named none."""
        targets: Mapping[str, ssl.SSLContext | _Signed] = self.by_name
        target = targets.get(name) if name else None
        if target is None and "." in name:
            target = targets.get(f"*.{name.partition('.')[2]}")
        if target is None:
            target = targets.get("*")
        return target.context_for(name) if isinstance(target, _Signed) else target


class _Signed:
    """Contexts of certificates that an issuer makes; as many as it keeps."""

    def __init__(self, options: TlsOptions, issuer: Issuer) -> None:
        self._options = options
        self._issuer = issuer
        self._contexts: dict[bytes, ssl.SSLContext] = {}

    def context_for(self, name: str) -> ssl.SSLContext | None:
        if (pem := self._issuer.pem_for(name)) is None:
            return None
        if (context := self._contexts.pop(pem, None)) is None:
            context = self._options.context()
            use_certificate(context, pem)
        self._contexts[pem] = context  # the latest used last
        if len(self._contexts) > MOST_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]
        return context


MOST_CONTEXTS: Final = 1000
"""Certificates made on demand that are kept ready, for each authority and server."""
