"""Refuses requests by their method."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from pingap import Request, Response, field, hookimpl
from pingap_restriction.field_values import members, values_like
from pingap_restriction.refusals import ListType, RefusalSettings, Restriction

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OVERRIDES: Final = (b"x-http-method-override", b"x-http-method", b"x-method-override")
"""Headers with which frameworks let clients replace ``POST`` by another method."""
_USUAL: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_NOT_ALLOWED: Final = 405


def _check_method(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(f'"{text}" is not a method')
    return text.upper()


Method = Annotated[str, AfterValidator(_check_method)]


class MethodRestriction(Restriction):
    """Refuses requests by their method.

    A plugin that pingap does not have.
    """

    category = "method_restriction"
    reads_headers = ("x-http-method-override", "x-http-method", "x-method-override")

    class Settings(RefusalSettings):
        """Settings of ``method_restriction``."""

        message: str = "Method is not allowed"
        """The body of the response."""
        status: Annotated[int, Field(ge=400, le=599)] = _NOT_ALLOWED
        """The status of the response. 444: none is sent, and the connection is closed (HTTP/2: the stream is
        reset)."""
        type: ListType = "allow"
        """``allow``: only methods in the list may be used. ``deny``: they are refused."""
        methods: Annotated[tuple[Method, ...], Field(strict=False, min_length=1)]
        """Names of methods. HEAD is treated like GET unless it is in the list."""
        check_overrides: bool = True
        """Whether headers such as ``X-HTTP-Method-Override`` are checked as well, with which many frameworks
        let clients replace the method."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._allows = settings.type == "allow"
        self._methods = frozenset(settings.methods)
        if "GET" in self._methods:
            self._methods |= {"HEAD"}
        self._checks_overrides = settings.check_overrides
        if settings.status == _NOT_ALLOWED:  # which names the others (RFC 9110, 15.5.6)
            allowed = [one for one in _USUAL if self._is_allowed(one)]
            allowed += sorted(self._methods.difference(_USUAL)) if self._allows else []
            self._response.headers.append(field("Allow", ", ".join(allowed)))

    @hookimpl
    def request(self, request: Request) -> Response | None:
        """Refuse the request, or let it pass."""
        if not self._is_allowed(request.method):
            return self.refuse()
        if self._checks_overrides:
            for key in _OVERRIDES:
                for method in members(values_like(request.headers, key)):
                    if not self._is_allowed(method.upper()):
                        return self.refuse()
        return None

    def _is_allowed(self, method: str) -> bool:
        if self._allows:
            return method in self._methods  # which have a case (RFC 9110, 9.1)
        return method.upper() not in self._methods  # but upstreams may not know that
