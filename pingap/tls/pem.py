"""PEM of the configuration: the text itself, the name of a file, or base64 of the text.

Error messages are our own: no message ever contains a key. (acme.md, section 1)
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pingap.config.kinds import SECRET_LIMIT
from pingap.config.pem_values import pem_path
from pingap.config.problem import shortened

_BLOCK: Final = re.compile(
    rb"-----BEGIN (?P<kind>[A-Z0-9 ]+)-----.*?-----END (?P=kind)-----", re.DOTALL
)


class CertificateError(ValueError):
    """A certificate or key that cannot be used.

    :param key: of the table: ``tls_cert`` or ``tls_key``.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def read_pem(text: str, name: str, directory: Path, *, secret: bool = False) -> bytes:
    """Return the PEM that a value contains, names or encodes.

    :param secret: whether the value must not be shown, not even in part.
    :raises CertificateError: it is none of the three, or the file cannot be read.
    """
    if "-----BEGIN" in text:
        return text.encode()
    if (data := _from_file(text, name, directory)) is not None:
        return data
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if b"-----BEGIN" in data:
        return data
    found = "" if secret else f"found {shortened(text)}, "
    raise CertificateError(
        name, f"{found}expected PEM text, a file that exists, or base64 of PEM text"
    )


def _from_file(text: str, name: str, directory: Path) -> bytes | None:
    """Return the content of a file; None if the text is not a file name."""
    path = pem_path(text, directory)
    try:
        if path is None or not path.is_file():
            return None
    except (OSError, ValueError):  # too long
        return None
    try:
        with path.open("rb") as file:
            data = file.read(SECRET_LIMIT + 1)
    except OSError as error:
        reason = error.strerror or "input or output error"
        raise CertificateError(
            name, f"the file {shortened(text)} cannot be read: {reason}"
        ) from None
    if len(data) > SECRET_LIMIT:
        raise CertificateError(
            name, f"the file {shortened(text)} is larger than {SECRET_LIMIT} bytes"
        )
    return data


def blocks(data: bytes, kind: bytes) -> Iterator[bytes]:
    """Yield the blocks of PEM of a kind: ``CERTIFICATE``, ``PRIVATE KEY`` (of any algorithm)."""
    for match in _BLOCK.finditer(data):
        if match["kind"].endswith(kind):
            yield match[0]
