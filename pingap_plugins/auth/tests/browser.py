"""A small browser: it keeps cookies by host and path, and follows redirects if told to."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from pingap.testing import Answer, Client


@dataclass
class Browser:
    """One user."""

    cookies: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Host and name -> path and value."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Name of a cookie -> its attributes, as it was set the last time."""
    visited: list[str] = field(default_factory=list)

    def get(self, url: str, method: str = "GET", **headers: str) -> Answer:
        """Make one request."""
        at = urlsplit(url)
        self.visited.append(url)
        sent = {"Host": at.netloc, "Accept": "text/html,*/*;q=0.8", **headers}
        if cookies := self._cookies_for(at.netloc, at.path):
            sent["Cookie"] = cookies
        target = f"{at.path or '/'}?{at.query}" if at.query else at.path or "/"
        with Client((at.hostname or "", at.port or 80)) as client:
            answer = client.request(method, target, headers=sent)
        for line in answer.headers.get_all("set-cookie"):
            self.keep(at.netloc, line)
        return answer

    def follow(self, url: str, answer: Answer) -> tuple[str, Answer]:
        """Follow redirects; return the last URL and its answer."""
        for _ in range(10):
            if answer.status not in (301, 302, 303, 307) or not (to := answer.header("location")):
                return url, answer
            url = urljoin(url, to)
            answer = self.get(url)
        raise AssertionError(f"too many redirects: {self.visited}")

    def visit(self, url: str) -> tuple[str, Answer]:
        """Open a page."""
        return self.follow(url, self.get(url))

    def _cookies_for(self, host: str, path: str) -> str:
        return "; ".join(
            f"{name}={value}"
            for (of, name), (below, value) in self.cookies.items()
            if of == host and path.startswith(below)
        )

    def keep(self, host: str, line: str) -> None:
        pair, _, attributes = line.partition("; ")
        name, _, value = pair.partition("=")
        self.attributes[name] = attributes
        found = dict(one.partition("=")[::2] for one in attributes.split("; "))
        found = {key.lower(): text for key, text in found.items()}
        if found.get("max-age") == "0":
            self.cookies.pop((host, name), None)
        else:
            self.cookies[host, name] = (found.get("path", "/"), value)
