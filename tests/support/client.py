"""The client of ``pingap.testing``, with headers as keywords."""

from __future__ import annotations

from pingap.testing import Answer, Client, Fields

__all__ = ["Answer", "RawClient"]


class RawClient(Client):
    """One connection; ``_`` in the keywords of headers stands for ``-``."""

    def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:  # type: ignore[override]
        """Send a request and read its answer."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return super().request(method, target, headers=fields, body=body)

    def get(self, target: str, **headers: str) -> Answer:  # type: ignore[override]
        """Send a GET request and read its answer."""
        return self.request("GET", target, **headers)

    def head(self) -> tuple[int, str, Fields]:
        """Read a head, interim or final."""
        answer = self._head()
        return answer.status, answer.reason, answer.headers
