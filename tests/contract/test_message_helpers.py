"""Redirects, queries, forms and cookies, as clients of a real proxy see them."""

from __future__ import annotations

import pytest

from pingap import (
    Cookie,
    Plugin,
    Request,
    Response,
    SignedCookie,
    hookimpl,
    parse_form,
)
from pingap.testing import Clock, Proxy, Upstream

KEYS = ["k" * 32]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Shop(Plugin):
    """Uses all of the helpers."""

    category = "shop"
    whole_request_body = 4096

    def __init__(self) -> None:
        self.seen = Cookie("seen", max_age=60)
        self.cart = SignedCookie(Cookie("cart", max_age=60), KEYS)

    @hookimpl
    def request(self, request: Request) -> Response | None:
        if request.path == "/go":
            return Response.redirect(request.query_params.get("next", "/"))
        if request.path == "/add":
            form = parse_form(request.body or b"", request.header("Content-Type"))
            response = Response.redirect("/cart", 303)
            response.headers.append(self.cart.set(form["item"].encode()))
            response.headers.append(self.seen.set("1"))
            return response
        if request.path == "/cart":
            item = self.cart.read(request)
            return Response.html("empty" if item is None else f"<p>{item.decode()}")
        return None


@pytest.fixture
def shop(proxy: Proxy) -> Proxy:
    proxy.location("/", plugins=[Shop()])
    return proxy


def test_form_becomes_a_signed_cookie(shop: Proxy, clock: Clock) -> None:
    answer = shop.request("POST", "/add", headers=FORM, body=b"item=caf%C3%A9+au+lait")
    assert (answer.status, answer.header("Location")) == (303, "/cart")
    cart, seen = answer.header_all("Set-Cookie")
    assert seen == "seen=1; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax"
    cookie = {"Cookie": cart.partition(";")[0]}
    page = shop.get("/cart", headers=cookie)
    assert (page.text, page.header("Content-Type")) == (
        "<p>café au lait",
        "text/html; charset=utf-8",
    )
    assert shop.get("/cart", headers={"Cookie": cookie["Cookie"][:-1]}).text == "empty"
    clock.advance(61)
    assert shop.get("/cart", headers=cookie).text == "empty"


def test_redirect_to_what_a_client_asked_for(shop: Proxy) -> None:
    answer = shop.get("/go?next=/caf%C3%A9%0D%0ASet-Cookie:+a=b")
    assert answer.status == 302
    assert answer.header("Location") == "/caf%C3%A9%0D%0ASet-Cookie:%20a=b"
    assert answer.header("Set-Cookie") is None
    head = shop.request("HEAD", "/go?next=/new")
    assert (head.status, head.header("Location"), head.body) == (302, "/new", b"")


def test_redirect_to_another_site_is_an_error_of_the_plugin(shop: Proxy) -> None:
    answer = shop.get("/go?next=//evil.example")
    assert (answer.status, answer.header("Location")) == (500, None)
    assert "is not a location to redirect to" in shop.expect_error("failed in request")


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/go?" + "&" * 1000, {}, 400),
        ("/add", {"Content-Type": "text/plain"}, 415),
        ("/add", {}, 415),
    ],
)
def test_client_is_refused_without_an_error_in_the_log(
    shop: Proxy, upstream: Upstream, target: str, headers: dict[str, str], status: int
) -> None:
    assert shop.request("POST", target, headers=headers, body=b"item=1").status == status
    assert "failed" not in shop.log
    assert upstream.requests == []
