"""Several versions of an application behind one proxy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pingap.testing import Proxy, Upstream


class Sides:
    """Versions of an application, which answer ``/`` with their names.

    :param upstreams: ``v1`` is that of the location.
    """

    def __init__(self, proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
        self.proxy = proxy
        self.upstreams = upstreams

    def split(self, category: str, **settings: object) -> None:
        """Describe the location with one plugin, called ``p`` in logs and metrics."""
        self.proxy.configure("plugins.p", category=category, **settings)
        self.proxy.location("/", plugins=["p"])

    def ask(self, **headers: str) -> str:
        """Return the version that answers a request with these headers; ``_`` stands for ``-``."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.proxy.get("/", headers=fields).text

    def ask_all(self, fields: Iterable[dict[str, str]]) -> Counter[str]:
        """Count the versions that answer requests on one connection."""
        with self.proxy.connect() as client:
            return Counter(client.get("/", headers=headers).text for headers in fields)
