"""``[locations.<name>]``: routes.

Keys that plugin distributions claim, such as ``rewrite``, have no field here: they are in
``claimed`` and their distribution checks them.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator

from pingap.config.entries import (
    check_condition,
    check_header_condition,
    check_host,
    check_method,
    check_path,
    parse_header,
)
from pingap.config.kinds import Networks
from pingap.config.model.base import Claimable, Natural, Strings
from pingap.config.problem import did_you_mean, shortened
from pingap.config.units import ByteSize, Duration


def _checked_header(entry: str) -> str:
    parse_header(entry)
    return entry


_GROUP = re.compile(r"\(\?P?<(\w+)>")

RETRY_WORDS = ("connect", "timeout", "reset")
"""The entries of ``retry_on`` other than statuses."""


def _check_retry(text: str) -> str:
    if text in RETRY_WORDS or (len(text) == 3 and text.isdecimal() and "400" <= text <= "599"):
        return text
    hint = did_you_mean(text, RETRY_WORDS)
    words = ", ".join(RETRY_WORDS)
    raise ValueError(f"found {shortened(text)}, expected {words} or a status, 400 to 599{hint}")


HOST_WORDS = ("client", "upstream")
"""The values of ``host_header`` that are no host."""
_HOST = re.compile(
    r"(?:[0-9A-Za-z](?:[0-9A-Za-z._-]*[0-9A-Za-z])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)


def _check_host_header(text: str) -> str:
    if _HOST.fullmatch(text):
        return text
    hint = ' (a variable: proxy_set_headers = ["Host: $name"])' if "$" in text else ""
    raise ValueError(f'found {shortened(text)}, expected "client", "upstream" or a host{hint}')


Headers = Annotated[
    tuple[Annotated[str, AfterValidator(_checked_header)], ...], Field(strict=False)
]
Conditions = Annotated[
    tuple[Annotated[str, AfterValidator(check_condition)], ...], Field(strict=False)
]
HeaderConditions = Annotated[
    tuple[Annotated[str, AfterValidator(check_header_condition)], ...], Field(strict=False)
]


class LocationConfig(Claimable):
    """A route: the requests it matches, its plugins and its upstream."""

    SYNONYMS: ClassVar[dict[str, str]] = {
        "max_body": "client_max_body_size",
        "send_timeout": "write_timeout",
    }

    upstream: str = Field(
        "",
        description="Name of the upstream, or `$name` for a captured variable; empty when a plugin"
        " answers.",
    )
    path: Annotated[str, AfterValidator(check_path)] = Field(
        "", description="Path to match: a prefix, `=` and an exact path, or `~` and a regex."
    )
    host: Annotated[str, AfterValidator(check_host)] = Field(
        "",
        description="Hosts to match, separated by commas: a name, `*.name`, or `~` and a regex.",
    )
    match_headers: HeaderConditions = Field(
        (),
        description="Header conditions, all of which must hold: `name:value`, `name:~regex`, or `name`"
        " alone; `!` before one negates it, and alternatives have a bar between them.",
    )
    match_query: Conditions = Field((), description="Query conditions, written in the same way.")
    match_cookies: Conditions = Field((), description="Cookie conditions, written in the same way.")
    match_methods: Annotated[
        tuple[Annotated[str, AfterValidator(check_method)], ...], Field(strict=False)
    ] = Field((), description="Methods to match, one of which the request must have; none: any.")
    match_ips: Networks = Field(
        (), description="Addresses and networks, one of which the client must be in; none: any."
    )
    internal: bool = Field(
        False,
        description="Only for internal redirects: clients cannot reach it, so others match, or the answer is"
        " 404.",
    )
    weight: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None,
        description="The location with the largest weight is tried first; default: computed from"
        " `path` and `host`.",
    )
    servers: Strings = Field(
        (),
        description="Names of servers that serve this location, as if it were listed in their `locations`;"
        " `*`: all servers.",
    )
    plugins: Strings = Field((), description="Names of the plugins, in the order they run in.")
    plugin_timing: bool = Field(
        False,
        description="Measure the time of each plugin, for `{:plugin.<name>}` in the access log, "
        "`Server-Timing`, and a histogram. A request from a trusted address with the header "
        "`X-Pingap-Plugin-Timing` is measured in any location.",
    )
    proxy_set_headers: Headers = Field(
        (),
        description="`Name: value` headers to set on the request to the upstream; an empty value removes"
        " the header.",
    )
    proxy_add_headers: Headers = Field(
        (), description="`Name: value` headers to add to the request to the upstream."
    )
    proxy_remove_headers: Strings = Field(
        (),
        description="Names of headers that are removed from the request to the upstream; those of"
        " `proxy_set_headers` and `proxy_add_headers` are added afterwards.",
    )
    host_header: Annotated[str, AfterValidator(_check_host_header)] = Field(
        "client",
        description="The `Host` of the request to the upstream: `client`, the one that the client sent;"
        " `upstream`, the name or address of the backend; or a host.",
    )
    enable_reverse_proxy_headers: bool = Field(
        False,
        description="Send the client's address, scheme, host and port to the upstream in `X-Real-IP` and"
        " `X-Forwarded-*`.",
    )
    forwarded_header: bool = Field(
        False,
        description="Send the same in `Forwarded` (RFC 7239), with or without"
        " `enable_reverse_proxy_headers`.",
    )
    client_max_body_size: ByteSize = Field(
        0,
        description="Maximum size of a request body; larger ones get 413. 0: unlimited."
        " Also `max_body`.",
    )
    client_body_timeout: Annotated[Duration, Field(gt=0)] | None = Field(
        None,
        description="How long the next bytes of a request body may take to arrive; default: the server's"
        " `downstream_read_timeout`.",
    )
    connection_timeout: Duration | None = Field(
        None,
        description="How long a TCP connection to the upstream may take. These four keys replace those of"
        " the upstream for the requests of this location; `0` removes the limit.",
    )
    total_connection_timeout: Duration | None = Field(
        None, description="How long TCP and TLS may take together."
    )
    read_timeout: Duration | None = Field(
        None, description="How long the next bytes of a response may take. Not used for WebSocket."
    )
    write_timeout: Duration | None = Field(
        None,
        description="How long the upstream may take to accept the next bytes; also `send_timeout`.",
    )
    max_processing: Natural = Field(
        0,
        description="Maximum number of requests in progress per worker; more get 429. 0: unlimited.",
    )
    max_retries: Annotated[int, Field(ge=0, le=255)] | None = Field(
        None,
        description="Maximum number of further attempts, for the reasons in `retry_on`; at most 15.",
    )
    retry_on: Annotated[
        tuple[Annotated[str, AfterValidator(_check_retry)], ...], Field(strict=False)
    ] = Field(
        ("connect",),
        description="Reasons for another attempt: `connect`, if no connection could be opened; and for"
        " idempotent methods `timeout`, `reset`, and statuses such as `503`. Needs `max_retries`.",
    )
    retry_buffer_size: ByteSize = Field(
        65536, description="Maximum size of a request body that is kept for another attempt."
    )
    max_retry_window: Duration | None = Field(
        None, description="Maximum age of a request for another attempt."
    )
    includes: Strings = Field((), description="Storages whose keys overwrite those written here.")
    remark: str = Field("", description="A comment.")

    @model_validator(mode="after")
    def _has_no_limits(self) -> LocationConfig:
        """Check that an internal location has no limits, which apply to requests of clients."""
        for key in ("client_max_body_size", "max_processing"):
            if self.internal and getattr(self, key):
                raise ValueError(
                    f"{key} has no effect with internal = true: set it in the location that clients"
                    " reach"
                )
        return self

    def capture_names(self) -> list[str]:
        """Return the names of the groups in ``path``, ``host`` and ``rewrite``, which belongs to pingap-rewrite."""
        return _GROUP.findall(f"{self.path} {self.host} {self.claimed.get('rewrite', '')}")
