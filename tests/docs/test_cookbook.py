"""Every plugin of the cookbook in a real proxy, configured with the TOML that the page shows."""

from __future__ import annotations

import hmac
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tomli
from docs.blocks import DOCS, every_block

from pingap import Counter, LogTag, Plugin
from pingap.plugins.local import find_class, load_module
from pingap.testing import Clock, ConfigError, Proxy, Upstream, filter_every_cut

PAGE = DOCS / "cookbook.md"
FILES = [block.file for block in every_block(PAGE) if block.language == "python"]

Cook = Callable[..., Proxy]


def toml_of(file: str) -> str:
    """Return the TOML block that uses a plugin file."""
    (found,) = (
        block.text for block in every_block(PAGE) if f'path = "plugins/{file}"' in block.text
    )
    return found


@pytest.fixture
def cook(directory: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cook]:
    """Start a proxy with a recipe: ``cook("sign.py")``."""
    monkeypatch.chdir(directory)
    with ExitStack() as running:

        def start(file: str, change: tuple[str, str] = ("", ""), **upstreams: Upstream) -> Proxy:
            """
            :param change: a text in the TOML, and what to write instead.
            :param upstreams: by the name that the recipe uses; ``upstream`` by default.
            """
            text = toml_of(file)
            assert change[0] in text
            text = text.replace(*change).replace("127.0.0.1:8080", "127.0.0.1:0")
            text = re.sub(r"\[upstreams\.\w+\]\naddrs = .*\n", "", text)  # ours are below
            for name in re.findall(r"\$ENV:(\w+)", text):
                monkeypatch.setenv(name, f"secret of {name}")
            tables = tomli.loads(text)
            names = [location["upstream"] for location in tables["locations"].values()]
            for name in dict.fromkeys([*names, *upstreams]):
                addr = upstreams.get(name, upstream).addr
                text += f'\n[upstreams.{name}]\naddrs = ["{addr}"]\n'
            if "servers" not in tables:
                text += f'\n[servers.web]\naddr = "127.0.0.1:0"\nlocations = {list(tables["locations"])}\n'
            text += '\n[basic]\ntrusted_proxies = ["127.0.0.1/32"]\n'
            return running.enter_context(Proxy(text))

        yield start


@pytest.fixture
def other() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.mark.parametrize("file", FILES)
def test_a_recipe_is_small_and_has_a_test(file: str) -> None:
    (block,) = (block for block in every_block(PAGE) if block.file == file)
    code = [line for line in block.text.splitlines() if line.strip() and '"""' not in line]
    assert len(code) <= 65
    assert max(map(len, block.text.splitlines())) <= 100
    name = file.removeprefix("plugins/")
    assert f'"{name}"' in Path(__file__).read_text()


def test_there_are_twelve_recipes() -> None:
    assert len(FILES) >= 12


def loaded(directory: Path, file: str) -> type[Plugin]:
    return find_class(load_module(directory / "plugins" / file))


def test_api_key(cook: Cook, upstream: Upstream) -> None:
    proxy = cook("api_key.py")
    for headers in ({}, {"X-Api-Key": ""}, {"X-Api-Key": "secret of NOBODY"}):
        answer = proxy.get("/", headers=headers)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "ApiKey")
    assert upstream.requests == []
    assert proxy.get("/", headers={"X-Api-Key": "secret of SECOND_PARTNER"}).status == 200
    assert upstream.received_once().header("x-api-key") is None


def test_api_key_that_is_empty_is_a_mistake(cook: Cook) -> None:
    with pytest.raises(ConfigError, match="a key is empty"):
        cook("api_key.py", ('"$ENV:FIRST_PARTNER", ', '"", '))


def test_ab_test(cook: Cook, upstream: Upstream, other: Upstream) -> None:
    proxy = cook("ab_test.py", shop_next=other)
    first = proxy.get("/")
    variant = first.headers["Set-Cookie"].partition(";")[0]
    for name, chosen in (("variant=a", upstream), ("variant=b", other)):
        before = len(chosen.requests)
        answer = proxy.get("/", headers={"Cookie": name})
        assert len(chosen.requests) == before + 1
        assert "Set-Cookie" not in answer.headers
    assert variant in ("variant=a", "variant=b")


@pytest.mark.parametrize(("percent", "variant"), [(0, "a"), (100, "b")])
def test_ab_test_obeys_its_share(
    cook: Cook, upstream: Upstream, other: Upstream, percent: int, variant: str
) -> None:
    proxy = cook("ab_test.py", ("percent = 50", f"percent = {percent}"), shop_next=other)
    answers = [proxy.get("/", headers={"Cookie": "variant=c"}) for _ in range(5)]
    assert {answer.headers["Set-Cookie"] for answer in answers} == {f"variant={variant}; Path=/"}
    assert len({"a": upstream, "b": other}[variant].requests) == 5


def test_sticky(cook: Cook, upstream: Upstream, other: Upstream) -> None:
    proxy = cook("sticky.py", second=other)
    for number in range(20):
        proxy.get("/", headers={"X-Session": str(number)})
    first, second = ({one.header("x-session") for one in up.requests} for up in (upstream, other))
    assert first
    assert second
    for number in range(20):
        proxy.get("/", headers={"X-Session": str(number)})
    assert {one.header("x-session") for one in upstream.requests} == first
    before = len(upstream.requests)
    proxy.get("/")
    assert len(upstream.requests) == before + 1


def test_nearest(
    upstream: Upstream, other: Upstream, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    text = toml_of("nearest.py") + '\n[servers.web]\naddr = "127.0.0.1:0"\nlocations = ["api"]\n'
    text = text.replace("10.1.0.0/16", "127.0.0.1/32").replace("10.1.0.1:3000", upstream.addr)
    text = text.replace("10.1.0.2:3000", other.addr).replace("10.2.0.1:3000", "127.0.0.2:9")
    with Proxy(text) as proxy:
        assert [proxy.get("/").status for _ in range(4)] == [200] * 4
    assert (len(upstream.requests), len(other.requests)) == (2, 2)
    with pytest.raises(ConfigError, match=r"upstreams.api.algo: found \"nearest:x\", 'x' does not"):
        Proxy(text.replace("nearest:127.0.0.1/32", "nearest:x")).start()


def test_json_edit(cook: Cook, upstream: Upstream) -> None:
    kind = {"Content-Type": "application/json; charset=utf-8", "ETag": '"1"'}
    upstream.reply("/cart", b'{"items": [1]}', headers=kind)
    upstream.reply("/list", b"[1, 2]", headers=kind)
    upstream.reply("/broken", b'{"items"', headers=kind)
    upstream.reply("/text", b"{}", headers={"Content-Type": "text/plain", "ETag": '"1"'})
    upstream.stream("/large", [b'{"a": "', b"x" * 2_000_000, b'"}'], headers=kind)
    proxy = cook("json_edit.py")
    answer = proxy.get("/cart", headers={"Accept-Encoding": "br"})
    assert answer.json() == {"items": [1], "notice": "This version ends in May"}
    assert "ETag" not in answer.headers
    assert upstream.requests[-1].header("accept-encoding") is None
    assert proxy.get("/list").body == b"[1, 2]"
    assert proxy.get("/broken").body == b'{"items"'
    text = proxy.get("/text")
    assert (text.body, text.headers["ETag"]) == (b"{}", '"1"')
    assert proxy.get("/large").json() == {"a": "x" * 2_000_000}


def test_json_edit_in_every_cut(directory: Path) -> None:
    make = load_module(directory / "plugins" / "json_edit.py").AddKeys
    assert filter_every_cut(lambda: make({"b": "c"}, 100), b'{"a": 1}') == b'{"a": 1, "b": "c"}'
    assert filter_every_cut(lambda: make({"b": "c"}, 4), b'{"a": 1}') == b'{"a": 1}'


def test_sse_observer(cook: Cook, upstream: Upstream) -> None:
    more = threading.Event()

    def events() -> Iterator[bytes]:
        yield b"data: 1\n\ndata: 2\n"
        more.wait(10)
        yield b"\n: nothing\r\n\r\n"

    upstream.stream("/", events, headers={"Content-Type": "text/event-stream"})
    upstream.reply("/page", b"no\n\nevent\n\n")
    proxy = cook("sse_observer.py")
    assert proxy.get("/page").body == b"no\n\nevent\n\n"
    with proxy.connect() as client:
        client.send_request("GET", "/")
        assert client.read_head().status == 200
        assert client.read_some() == b"data: 1\n\ndata: 2\n"
        assert proxy.metrics().value("sse_observer_events_total") == 1
        more.set()
        client.read_rest()
    assert proxy.metrics().value("sse_observer_events_total") == 3


def test_sse_observer_in_every_cut(directory: Path) -> None:
    observer = load_module(directory / "plugins" / "sse_observer.py").Observer
    counters: list[Counter] = []

    def make() -> object:
        counters.append(Counter("events", "Events"))
        return observer(counters[-1])

    filter_every_cut(make, b"data: 1\n\n\n\ndata: 2\r\n\r\nx")
    assert {counter.value for counter in counters} == {2}


def test_window(cook: Cook, clock: Clock) -> None:
    begin = datetime(2031, 5, 1, 2, tzinfo=UTC).timestamp()
    proxy = cook("window.py")
    assert proxy.get("/").status == 200
    clock.advance(begin - datetime.now(UTC).timestamp() + 3600)
    answer = proxy.get("/")
    assert (answer.status, answer.text) == (503, "Back soon\n")
    assert int(answer.headers["Retry-After"]) == pytest.approx(3600, abs=60)
    clock.advance(3700)
    assert proxy.get("/").status == 200


def test_window_that_is_empty_is_a_mistake(cook: Cook) -> None:
    with pytest.raises(ConfigError, match="end is not after begin"):
        cook("window.py", ("end = 2031-05-01T04", "end = 2031-05-01T02"))


def test_sign(cook: Cook, upstream: Upstream) -> None:
    proxy = cook("sign.py")
    forged = {"X-Signature": "sha256=forged", "X-Signature-Time": "1"}
    answer = proxy.request("POST", "/pay?x=1", headers=forged, body=[b"one", b"two"])
    assert answer.body == b"onetwo"
    received = upstream.received_once()
    (now,) = received.header_all("x-signature-time")
    text = f"{now}\nPOST\n/pay?x=1\nonetwo".encode()
    expected = hmac.new(b"secret of SIGNING_KEY", text, "sha256").hexdigest()
    assert received.header_all("x-signature") == [f"sha256={expected}"]
    proxy.get("/")
    assert upstream.requests[1].header("x-signature")
    assert proxy.request("POST", "/", body=b"x" * 1024 * 1025).status == 413


def test_tenant(cook: Cook, upstream: Upstream) -> None:
    proxy = cook("tenant.py")
    proxy.get("/", headers={"Host": "acme.example.com", "X-Tenant": "other"})
    proxy.get("/", headers={"Host": "localhost", "X-Tenant": "other"})
    assert [line.split(" INFO ")[-1] for line in proxy.access_log] == [
        "GET / 200 acme",
        "GET / 200 -",
    ]
    assert [one.header("x-tenant") for one in upstream.requests] == ["acme", None]


def test_tenant_has_typed_tags(directory: Path) -> None:
    cls = loaded(directory, "tenant.py")
    tags: dict[str, LogTag] = dict(cls(cls.Settings()).log_tags())
    assert list(tags) == ["name"]


def test_headers_limit(cook: Cook, upstream: Upstream) -> None:
    proxy = cook("headers_limit.py")
    assert proxy.get("/", headers={"X-A": "x" * 900}).status == 200
    assert proxy.get("/", headers={"X-A": "x" * 500, "X-B": "x" * 500}).status == 431
    assert len(upstream.requests) == 1
    assert proxy.metrics().value("headers_limit_refused_total") == 1


def test_rate_limit(cook: Cook, upstream: Upstream, clock: Clock) -> None:
    proxy = cook("rate_limit.py")
    assert [proxy.get("/", client_ip="192.0.2.1").status for _ in range(4)] == [200] * 3 + [429]
    assert proxy.get("/", client_ip="192.0.2.1").headers["Retry-After"] == "11"
    assert proxy.get("/", client_ip="192.0.2.2").status == 200
    assert len(upstream.requests) == 4
    clock.advance(21)
    assert proxy.get("/", client_ip="192.0.2.1").status == 200


def test_cache_control(cook: Cook, upstream: Upstream) -> None:
    upstream.reply("/assets/gone", b"", 404)
    upstream.reply("/page", headers={"Cache-Control": "max-age=1"})
    proxy = cook("cache_control.py")
    asset = proxy.get("/assets/app.js").headers.get_all("Cache-Control")
    assert asset == ["public, max-age=31536000, immutable"]
    assert proxy.get("/page").headers.get_all("Cache-Control") == ["no-cache"]
    assert "Cache-Control" not in proxy.get("/assets/gone").headers


def test_mirror(cook: Cook, upstream: Upstream, other: Upstream) -> None:
    proxy = cook("mirror.py", ("127.0.0.1:3001", other.addr))
    answer = proxy.request("POST", "/cart?x=1", headers={"X-A": "b"}, body=[b"one", b"two"])
    assert answer.body == b"onetwo"
    copy = other.wait_for_request(complete=True)
    assert (copy.method, copy.target, copy.body) == ("POST", "/cart?x=1", b"onetwo")
    assert copy.header("x-a") == "b"
    proxy.request("POST", "/", body=b"x" * 70_000)
    proxy.get("/last")
    assert other.wait_for_request(2).path == "/last"
    assert upstream.requests[1].complete
    assert proxy.metrics().value("mirror_copies_total", result="dropped") == 1


def test_mirror_is_bounded_and_nobody_waits_for_it(cook: Cook, other: Upstream) -> None:
    go = threading.Event()
    other.reply("/held", until=go)
    url = f'"http://{other.addr}"\nat_once = 1'
    proxy = cook("mirror.py", ('"http://127.0.0.1:3001"', url))
    assert proxy.get("/held").status == 200
    other.wait_for_request()
    assert proxy.get("/dropped").status == 200
    assert proxy.metrics().value("mirror_copies_total", result="dropped") == 1
    go.set()


def test_slow_requests(cook: Cook, upstream: Upstream, clock: Clock) -> None:
    go = threading.Event()
    upstream.reply("/slow", until=go)
    proxy = cook("slow_requests.py")
    assert proxy.get("/quick").status == 200
    with proxy.connect() as client:
        client.send_request("GET", "/slow?x=1")
        upstream.wait_for_request(2)
        clock.advance(2)
        go.set()
        assert client.answer().status == 200
    said = proxy.wait_for_log("GET /slow took")
    assert re.search(rf"took 2\.\d+ s, of which {upstream.addr} waited 2\.\d+ s for the head", said)
    assert "/quick" not in said
    assert proxy.metrics().value("slow_requests_seconds_count") == 1


def test_preflight(cook: Cook, upstream: Upstream) -> None:
    proxy = cook("preflight.py")
    asked = {"Origin": "https://shop.example.com", "Access-Control-Request-Method": "POST"}
    answer = proxy.request("OPTIONS", "/", headers=asked)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert answer.headers["Access-Control-Max-Age"] == "3600"
    refused = proxy.request("OPTIONS", "/", headers={**asked, "Origin": "https://evil.example"})
    assert (refused.status, refused.headers.get("Access-Control-Allow-Origin")) == (403, None)
    assert upstream.requests == []
    read = proxy.get("/", headers={"Origin": "https://shop.example.com"})
    assert read.headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    assert (read.headers["Vary"], read.status) == ("Origin", 200)
    assert "Access-Control-Allow-Origin" not in proxy.get("/").headers
    assert proxy.request("OPTIONS", "/").status == 200  # no preflight: the upstream's business


def test_redirect_map(cook: Cook, upstream: Upstream) -> None:
    proxy = cook("redirect_map.py")
    for path, place in (("/old", "/new"), ("/blog/first", "https://blog.example.com/1")):
        answer = proxy.get(f"{path}?x=1")
        assert (answer.status, answer.headers["Location"]) == (301, place)
    assert proxy.get("/new").status == 200
    assert upstream.received_once().path == "/new"


def test_redirect_map_tells_mistakes_of_its_file(cook: Cook, directory: Path) -> None:
    (directory / "plugins" / "redirects.txt").write_text("/a /b\n/c\n")
    with pytest.raises(ConfigError, match=r"redirects.txt:2: expected an old path and a new place"):
        cook("redirect_map.py")
    with pytest.raises(ConfigError, match=r"gone.txt cannot be read: No such file"):
        cook("redirect_map.py", ("redirects.txt", "gone.txt"))
