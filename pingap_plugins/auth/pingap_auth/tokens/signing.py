"""Turns the response of a login into a signed token."""

from __future__ import annotations

import json
import logging
import time
from typing import Any, Final

from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry, serialize_compact

from pingap import BodyFilter, Headers, HTTPError

log = logging.getLogger("pingap")

LONGEST_PAYLOAD: Final = 8 * 1024
"""Bytes of claims; browsers and servers do not take longer tokens in a header."""
_REGISTRY: Final = JWSRegistry(algorithms=["HS256", "HS384", "HS512"])


class Signing(BodyFilter):
    """Collects the claims that an upstream has sent, and sends a token in their place.

    The head waits for it, so a body that is no JSON object still becomes 502, and nothing of it is sent.

    :param key: that signs.
    :param algorithm: ``HS256`` or another one for secrets.
    :param lifetime: seconds that a token without ``exp`` gets; 0: none is added.
    """

    hold_head = 2 * LONGEST_PAYLOAD

    def __init__(self, key: OctKey, algorithm: str, lifetime: float) -> None:
        self._key, self._algorithm, self._lifetime = key, algorithm, lifetime
        self._body = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Keep a piece.

        :raises HTTPError: 502, there are too many.
        """
        self._body += data
        if len(self._body) > LONGEST_PAYLOAD:
            raise _refused(f"more than {LONGEST_PAYLOAD} bytes")
        return b""

    def end(self, trailers: Headers) -> bytes:
        """Return the token.

        :raises HTTPError: 502, the body is not a JSON object.
        """
        claims = _claims(bytes(self._body))
        payload = bytes(self._body)
        if self._lifetime and "exp" not in claims:
            claims["exp"] = int(time.time() + self._lifetime)
            payload = json.dumps(claims, separators=(",", ":")).encode()
        token = serialize_compact(
            {"alg": self._algorithm, "typ": "JWT"}, payload, self._key, registry=_REGISTRY
        )
        return json.dumps({"token": token}).encode()


def _claims(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise _refused("not JSON") from None
    if not isinstance(found, dict):
        raise _refused("not a JSON object")
    return found


def _refused(reason: str) -> HTTPError:
    log.warning("the response of auth_path cannot become a token: %s", reason)
    return HTTPError(502, "The upstream server could not answer")
