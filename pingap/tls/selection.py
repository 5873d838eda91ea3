"""Selects the certificate for a client by the requested name (acme.md, section 2)."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from pingap.tls.options import TlsOptions, reason, use_certificate
from pingap.tls.replacements import Replacement

if TYPE_CHECKING:
    from pingap.tls.certificates import Certificate

log = logging.getLogger("pingap")

_UNKNOWN_NAME: Final = ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
_DEFECT: Final = ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR


class Issuer(Protocol):
    """Makes certificates on demand (``issuer``)."""

    def pem_for(self, name: str) -> bytes | None:
        """Return key and certificates for a name, or None if there can be none.

        The same certificate is returned as the same bytes, so that it can be recognised.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The result of one entry of ``[certificates]``: a certificate, any number of them, or none yet.

    :param name: of the entry.
    :param names: as in ``Certificate``; ``*`` is the default.
    :param certificate: with an issuer, the CA certificate.
    """

    name: str = ""
    names: tuple[str, ...]
    certificate: Certificate | None = None
    issuer: Issuer | None = None

    @property
    def is_there(self) -> bool:
        """Whether it has a certificate; otherwise it waits for one from a plugin."""
        return self.certificate is not None or self.issuer is not None


def owners(
    served: Iterable[Served], replacements: Iterable[Replacement]
) -> dict[str, Served | Replacement]:
    """Return the owner of each name.

    The entries of the configuration come first, in their order, each with its replacement; then the
    additional ones, sorted by name. The first one that has a name serves it.
    """
    found: dict[str, Served | Replacement] = {}
    for names, one in _claims(served, {one.name: one for one in replacements if not one.alpn}):
        for name in names:
            found.setdefault(name, one)
    return found


def _claims(
    served: Iterable[Served], replacing: dict[str, Replacement]
) -> Iterator[tuple[tuple[str, ...], Served | Replacement]]:
    for one in served:
        if (new := replacing.pop(one.name, None)) is not None:
            yield (*new.names, *(("*",) if "*" in one.names else ())), new
        elif one.is_there:
            yield one.names, one
    for _, new in sorted(replacing.items()):
        yield new.names, new


class ServerTls:
    """The TLS of one server in one configuration.

    Every handshake begins with the same context, which has no certificate. It also encrypts session tickets,
    so that they stay valid when certificates change.

    :param served: the certificates, in the order of the configuration: the first one with a name is used.
    :param previous: the current TLS of the server. With the same options its context continues to be used,
        and this object selects the certificates there once it has taken effect.
    :param replacements: certificates from plugins, replacing these or in addition to them.
    :raises OptionError: an unsupported setting.
    :raises ssl.SSLError: OpenSSL rejects a certificate.
    """

    def __init__(
        self,
        options: TlsOptions,
        served: tuple[Served, ...],
        previous: ServerTls | None = None,
        replacements: Iterable[Replacement] = (),
    ) -> None:
        self.options = options
        self._served = served
        self._configured = {id(one): self._target(one) for one in served if one.is_there}
        self._replaced: dict[str, tuple[Replacement, ssl.SSLContext]] = {}
        self.challenges: dict[bytes, ssl.SSLContext] = {}
        """Name -> the context for handshakes that offer only ``acme-tls/1``."""
        self._chosen = _Chosen()
        same = previous is not None and previous.options == options
        if previous is not None and same:
            self._replaced = dict(previous._replaced)  # their contexts can be reused
        self.replace(replacements)
        if previous is not None and same:
            self.context: ssl.SSLContext = previous.context
        else:
            self.context = options.context()
            self.take_effect()

    def _target(self, one: Served) -> ssl.SSLContext | _Signed:
        if one.issuer is not None:
            return _Signed(self.options, one.issuer)
        assert one.certificate is not None
        context = self.options.context()
        use_certificate(context, one.certificate.pem)
        return context

    def replace(self, replacements: Iterable[Replacement]) -> None:
        """Replace the set of certificates from plugins.

        Existing contexts are kept. If a certificate cannot be used, this is logged, and the previous one
        stays.
        """
        before, self._replaced = self._replaced, {}
        for one in replacements:
            known = before.get(one.name)
            if known is None or known[0] is not one:
                try:
                    known = one, self.context_for(one.pem, one.alpn)
                except ssl.SSLError as error:  # the options differ from those it was checked with
                    text = "the certificate %s of a plugin cannot be used: %s"
                    log.error(text, one.name, reason(error))  # noqa: TRY400 - not a defect of ours
            if known is not None:
                self._replaced[one.name] = known
        usable = [one for one, _ in self._replaced.values()]
        self._chosen = _Chosen(
            {name: self._target_of(one) for name, one in owners(self._served, usable).items()}
        )
        self.challenges.clear()  # must stay the same object: connections refer to it
        for one, context in self._replaced.values():
            if one.alpn:
                for name in one.names:
                    self.challenges.setdefault(name.encode(), context)

    def _target_of(self, owner: Served | Replacement) -> ssl.SSLContext | _Signed:
        if isinstance(owner, Replacement):
            return self._replaced[owner.name][1]
        return self._configured[id(owner)]

    def context_for(self, pem: bytes, alpn: str = "") -> ssl.SSLContext:
        """Return a context with a certificate.

        :param alpn: its only protocol; client certificates are then not requested.
        :raises ssl.SSLError: OpenSSL rejects it.
        """
        options = self.options
        if alpn:
            options = replace(options, alpn=(alpn,), verify_client="off", client_ca="")
        context = options.context()
        use_certificate(context, pem)
        return context

    def take_effect(self) -> None:
        """Serve these certificates from the next handshake on; connections are not affected."""
        self.context.sni_callback = self._choose

    def _choose(
        self, tls: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> ssl.AlertDescription | None:
        """Called by OpenSSL in every handshake; a returned alert ends it."""
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
        """Return the context for a name; the name is empty if the client sent none."""
        targets: Mapping[str, ssl.SSLContext | _Signed] = self.by_name
        target = targets.get(name) if name else None
        if target is None and "." in name:
            target = targets.get(f"*.{name.partition('.')[2]}")
        if target is None:
            target = targets.get("*")
        return target.context_for(name) if isinstance(target, _Signed) else target


class _Signed:
    """Contexts of certificates from an issuer, as many as it keeps."""

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
        self._contexts[pem] = context  # the most recently used last
        if len(self._contexts) > MOST_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]
        return context


MOST_CONTEXTS: Final = 1000
"""Number of certificates made on demand that are kept, for each authority and server."""
