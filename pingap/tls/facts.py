"""Facts about the certificates that a worker serves, without their keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """One certificate that is served (``Worker.certificates.list()``).

    :param name: of its table in ``[certificates]``, or the name that a plugin gave it.
    :param names: the names that it is served for, in lower case: host names, ``*.host``, addresses; ``*``
        stands for all names that no other certificate has. Names of earlier certificates are not included.
    :param issuer: subject of the certificate that signed it, as in RFC 4514.
    :param not_before: start of its validity, in UTC.
    :param not_after: end of its validity, in UTC.
    :param fingerprint: SHA-256 of the certificate, in hexadecimal.
    :param source: whether the configuration provided it, or a plugin at run time.
    :param alpn: the only protocol that a handshake must offer to get it; usually empty.
    """

    name: str
    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime
    fingerprint: str
    source: Literal["configuration", "plugin"]
    alpn: str = ""
