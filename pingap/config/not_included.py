"""Keys of other proxies for things that pingap does not do, and never will: ``docs/not-included.md``."""

from __future__ import annotations

import re
from typing import Final

_SUBJECTS: Final = (
    (r"fastcgi(_\w+)?|php_fastcgi|php", "speaks no FastCGI"),
    (r"uwsgi(_\w+)?", "does not speak the protocol of uWSGI"),
    (r"scgi(_\w+)?|cgi", "speaks no CGI or SCGI"),
    (r"streams?|tcp|udp|mode_tcp", "forwards no TCP or UDP streams"),
    (r"(enabled?_)?(h3|http3|quic)(_\w+)?", "does not speak HTTP/3"),
    (r"limit_rate(_after)?|bandwidth(_\w+)?|throttle", "does not limit the bandwidth of clients"),
    (r"mail|imap|pop3|smtp", "is no mail proxy"),
    (r"\w+_by_lua(_\w+)?|lua(_\w+)?|js_\w+|njs|perl(_\w+)?", "has no scripts in its configuration"),
    (r"forward_proxy|proxy_connect(_\w+)?", "is no forward proxy"),
    (r"dav_\w+|webdav", "does not store files for clients"),
    (r"ssi(_\w+)?|xslt_\w+|xml_entities", "does not assemble pages"),
    (r"modsecurity(_\w+)?|waf", "is no web application firewall"),
    (r"memcached_\w+|redis_pass", "has no upstreams other than HTTP"),
)
_PATTERNS: Final = tuple((re.compile(keys), text) for keys, text in _SUBJECTS)


def not_included(name: str) -> str:
    """Return the hint that follows an unknown key, table or category; empty for most names."""
    for pattern, text in _PATTERNS:
        if pattern.fullmatch(name):
            return f'; pingap {text}: see "What pingap does not do" in the manual (not-included.md)'
    return ""
