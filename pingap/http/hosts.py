"""Names of hosts: one spelling for all that mean the same (RFC 3986, 6.2.2; RFC 4343)."""

from __future__ import annotations

from ipaddress import IPv6Address
from urllib.parse import unquote


def normal_host(host: str) -> str:
    """Return a host as it is compared: in lower case, without the dot at its end.

    An IPv6 literal keeps its brackets and is written as in RFC 5952.

    :param host: ASCII, without port; may be empty.
    :raises ValueError: it has an empty label, or is no IPv6 address.
    """
    if host.startswith("["):
        address = IPv6Address(host[1:-1])
        if (inner := address.ipv4_mapped) is not None:  # (as Python 3.13 writes it, too)
            return f"[::ffff:{inner}]"
        return f"[{address}]"
    name = (unquote(host) if "%" in host else host).lower()
    if not name.isascii() or not name.isprintable():
        raise ValueError(f"{host!r} is not a host")
    if name == "." or ".." in name:
        raise ValueError(f"{host!r} has an empty label")
    return name.removesuffix(".")
