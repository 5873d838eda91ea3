"""``ctx.user`` and ``ctx.variants``."""

from __future__ import annotations

import pytest

from pingap import Plugin, Request, RequestContext, Response, hookimpl
from pingap.testing import Proxy, make_context


class Login(Plugin):
    category = "login"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response:
        ctx.user = request.headers.get("x-name") or ""
        return Response(200, ctx.user.encode())


def test_the_access_log_shows_the_user() -> None:
    proxy = Proxy()
    proxy.location(plugins=[Login])
    proxy.configure("servers.web", access_log="{path} {:user}")
    with proxy:
        for name in ("ann", 'b"b', ""):
            proxy.get(f"/{len(name)}", headers={"X-Name": name})
        lines = proxy.wait_for_access_log(3)
    assert [line.rstrip("\n") for line in lines] == ["/3 ann", "/3 b\\x22b", "/0 "]


def test_a_user_is_text_without_line_breaks() -> None:
    ctx = make_context()
    assert ctx.user == ""
    ctx.user = "ann@example.org"
    with pytest.raises(ValueError, match="X-User"):
        ctx.user = "ann\r\nX-Admin: 1"
    with pytest.raises(TypeError):
        ctx.user = 5  # type: ignore[assignment]
    assert ctx.user == "ann@example.org"


def test_variants_are_made_when_asked_for() -> None:
    ctx, other = make_context(), make_context()
    assert "_variants" not in ctx.__dict__
    ctx.variants["compression"] = "br"
    assert ctx.variants == {"compression": "br"}
    assert other.variants == {}
