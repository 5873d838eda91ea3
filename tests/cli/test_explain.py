"""``pingap explain``: the location that wins, why the others lose, and what comes then."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pingap_basics.request_id import RequestId
from pingap_basics.stats import Stats
from support.command import invoke
from support.process import Process

CONF = """
[upstreams.app]
addrs = ["127.0.0.1:3000 2", "127.0.0.2:3000"]
[plugins.id]
category = "request_id"
[plugins.inside]
category = "stats"
path = "/stats"
step = "proxy_upstream"
[locations.user]
path = "~^/users/(?P<id>[0-9]+)$"
host = "shop.example, *.shop.example"
upstream = "app"
plugins = ["id", "inside", "pingap:ping"]
proxy_set_headers = ["X-Id: $http_x_id"]
proxy_add_headers = ["X-B: c"]
[locations.beta]
path = "/users"
match_headers = ["X-Beta:yes"]
match_query = ["q"]
match_cookies = ["c:1"]
weight = 600
[locations.users]
path = "/users"
weight = 200
upstream = "app"
enable_reverse_proxy_headers = true
[locations.twin]
path = "/users"
weight = 200
[locations.named]
path = "~^/to/(?P<up>.*)$"
upstream = "$up"
[servers.web]
addr = "127.0.0.1:8080"
locations = ["twin", "users", "beta", "user", "named"]
prometheus_metrics = "/metrics"
[servers.other]
addr = "127.0.0.1:8081"
"""

SEVERAL = "127.0.0.1:8081, 127.0.0.2:8080"
"""Addresses of which one has the port of another server."""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "pingap.toml"
    path.write_text(CONF)
    return path


def explain(conf: Path, *arguments: str) -> dict[str, Any]:
    code, out, err = invoke("explain", "--json", "-c", conf, *arguments)
    assert err == ""
    found: dict[str, Any] = json.loads(out)
    assert code == (0 if found["location"] else 1)
    return found


def line_of(path: Path, text: str) -> int:
    return path.read_text().splitlines().index(text) + 1


def line_of_method(function: Any) -> int:
    """Return the line of ``def``, which stands below the decorators."""
    lines, first = inspect.getsourcelines(function)
    return first + next(at for at, line in enumerate(lines) if "def " in line)


def test_text(conf: Path) -> None:
    code, out, err = invoke(
        "explain", "get", "http://shop.example/users/7?q=1", "-c", conf, "--server", "web"
    )
    assert (code, err) == (0, "")
    words = [line.split() for line in out.splitlines()]
    assert words[0] == ["GET", "/users/7?q=1,", "host", "shop.example"]
    assert ["server", "web", "127.0.0.1:8080"] in words
    assert ["capture", "id", "7"] in words
    losing = next(line for line in out.splitlines() if line.startswith("  users"))
    assert losing.endswith(f"  {conf}:{line_of(conf, '[locations.users]')}")
    assert re.split("  +", losing)[2:4] == ["200", "lighter: 200 < 408"]
    backends = out[out.index("Upstream app") :].splitlines()
    assert [line.split() for line in backends[1:]] == [
        ["127.0.0.1:3000", "weight", "2"],
        ["127.0.0.2:3000", "weight", "1"],
        ["algo", "round_robin"],
        ["health_check", "a", "TCP", "connection", "every", "10", "s"],
    ]


def test_how_a_path_was_read(conf: Path) -> None:
    found = explain(conf, "GET", "/x/..//%75sers/7?q=%61", "--server", "web")
    assert (found["path"], found["refusal"], found["location"]) == ("/users/7", "", "twin")
    _, out, _ = invoke("explain", "GET", "//users/\u00fc", "-c", conf, "--server", "web")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:2] == ["GET", "//users/\u00fc,"]
    assert ["path", "/users/\u00fc", "normalised"] in lines
    found = explain(conf, "GET", "/users/a%2fb", "--server", "web")
    assert (found["location"], found["refusal"]) == ("twin", "400: the path has an encoded slash")
    code, out, _ = invoke("explain", "GET", "/users/%00", "-c", conf, "--server", "web")
    assert (code, "400: Invalid request target: the path has a NUL" in out) == (1, True)


def test_why_each_location_loses(conf: Path) -> None:
    found = explain(conf, "GET", "http://x.example:8080/users/7", "-H", "X-Beta: no")
    # Equal weights: the one that the server lists first.
    assert (found["location"], found["weight"], found["server"]) == ("twin", 200, "web")
    reasons = {
        loss["location"]: [one["text"] for one in loss["reasons"]] for loss in found["losses"]
    }
    assert reasons == {
        "beta": [
            'header: "x-beta" is not "yes"',
            'query: "q" is missing',
            'cookie: "c" is not "1"',
        ],
        "user": ['host: "x.example" is not shop.example, *.shop.example'],
        "named": ['path: "/users/7" does not match ^/to/(?P<up>.*)$'],
        "users": ["listed later, with the same weight 200"],
    }
    assert list(reasons) == ["beta", "user", "named", "users"]
    kinds = [one["kind"] for one in found["losses"][0]["reasons"]]
    assert kinds == ["header", "query", "cookie"]
    assert found["losses"][0]["place"]["line"] == line_of(conf, "[locations.beta]")


def test_headers_and_cookies_are_matched(conf: Path) -> None:
    url = "http://x.example:8080/users?q"
    headers = ("-H", "X-Beta: yes", "-H", "Cookie: a=b; c=1")
    assert explain(conf, "GET", url, *headers)["location"] == "beta"
    url = "http://127.0.0.1:8080/users/7"
    assert explain(conf, "GET", url, "-H", "Host: a.shop.example:1")["location"] == "user"


def test_no_location(conf: Path) -> None:
    code, out, _ = invoke("explain", "GET", "http://x:8080/none", "-c", conf)
    assert code == 1
    assert "No location matches: the request gets 404." in out
    assert 'path: "/none" does not begin with /users' in out


def test_chain_with_the_places_of_code_and_configuration(conf: Path) -> None:
    found = explain(conf, "GET", "http://shop.example:8080/users/7")
    assert found["captures"] == {"id": "7"}
    chain = found["chain"]
    assert {phase: [one["plugin"] for one in steps] for phase, steps in chain.items()} == {
        "request": ["id", "pingap:ping"],
        "proxy_upstream": ["inside"],
        "response": ["id"],
    }
    assert list(chain) == ["request", "proxy_upstream", "response"]
    first = chain["request"][0]
    assert first["function"] == "RequestId.request"
    assert Path(first["code"]["file"]).resolve() == Path(inspect.getfile(RequestId)).resolve()
    assert first["code"]["line"] == line_of_method(RequestId.request)
    assert first["configured"] == {"file": str(conf), "line": line_of(conf, "[plugins.id]")}
    moved = chain["proxy_upstream"][0]
    assert moved["function"] == "Stats.request"
    assert moved["code"]["line"] == line_of_method(Stats.request)
    assert chain["request"][1]["configured"]["file"] is None


def test_headers_to_the_upstream(conf: Path) -> None:
    found = explain(conf, "GET", "http://shop.example:8080/users/7")
    changes = [(one["action"], one["entry"]) for one in found["headers"]]
    assert changes == [("set", "X-Id: $http_x_id"), ("add", "X-B: c")]
    assert found["headers"][1]["place"]["line"] == line_of(conf, 'proxy_add_headers = ["X-B: c"]')
    # The same list as that which is built, the reverse proxy headers in front.
    conf.write_text(CONF.replace('"twin", ', ""))
    found = explain(conf, "GET", "http://x:8080/users")
    assert found["location"] == "users"
    assert found["headers"][0]["entry"] == "x-real-ip: $client_ip"


def test_what_becomes_of_failures(conf: Path) -> None:
    written = """[upstreams.app]
algo = "p2c"
health_check = "http://x/health"
passive_failures = 3
circuit_break_max_failure_percent = 50
"""
    location = 'upstream = "app"\nmax_retries = 2\nretry_on = ["connect", "503"]\nenable_'
    text = CONF.replace("[upstreams.app]\n", written).replace('upstream = "app"\nenable_', location)
    conf.write_text(text)
    app = explain(conf, "GET", "/users", "-H", "X-Beta: no", "--server", "web")["upstream"]
    assert app is None, "that is twin's"
    conf.write_text(text.replace('"twin", ', ""))
    app = explain(conf, "GET", "/users", "--server", "web")["upstream"]
    assert app["settings"] == {
        "algo": "p2c",
        "health_check": "http://x/health",
        "passive_failures": "3",
        "circuit_break_max_failure_percent": "50",
        "max_retries": "2",
        "retry_on": "['connect', '503']",
    }


def test_upstreams(conf: Path) -> None:
    app = explain(conf, "GET", "/to/app", "--server", "web")["upstream"]
    assert app["name"] == "app"
    assert app["peers"][0] == {"address": "127.0.0.1:3000", "weight": 2, "backup": False}
    assert app["place"]["line"] == 2
    found = explain(conf, "GET", "/to/none", "--server", "web")
    assert found["upstream"] is None
    assert found["no_upstream"] == "$up: 503 No available upstream for named"
    _, out, _ = invoke("explain", "GET", "/users", "--server", "web", "-c", conf)
    assert "No upstream: a request that no plugin answers gets 503." in out
    _, out, _ = invoke("explain", "GET", "/metrics", "--server", "web", "-c", conf)
    assert "The proxy answers with the metrics of the server." in out


ORIGIN = """
from pingap import Plugin, hookimpl

class Own(Plugin):
    \"\"\"Answers in place of an upstream.\"\"\"

    contract = "1.1"
    sets_origin = True

    @hookimpl
    def early_request(self, ctx) -> None:
        ctx.origin = None
"""


def test_a_plugin_in_place_of_an_upstream(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(ORIGIN)
    conf = tmp_path / "pingap.toml"
    conf.write_text(
        '[plugins.own]\ncategory = "python"\npath = "own.py"\n[locations.all]\nplugins = ["own"]\n'
        '[servers.web]\naddr = "127.0.0.1:8080"\nlocations = ["all"]\n'
    )
    assert explain(conf, "GET", "/", "--server", "web")["origin"] == "own"
    _, out, _ = invoke("explain", "GET", "/", "--server", "web", "-c", conf)
    assert "The plugin own answers in place of an upstream." in out


def test_server_of_a_url(conf: Path) -> None:
    conf.write_text(CONF.replace("127.0.0.1:8081", SEVERAL))
    assert explain(conf, "GET", "http://x:8081/")["server"] == "other"
    assert explain(conf, "GET", "http://127.0.0.2:8080/")["server"] == "other"
    assert explain(conf, "GET", "http://127.0.0.1:8080/")["server"] == "web"
    conf.write_text(CONF.partition("[servers.other]")[0])
    # The only one, and nothing says otherwise.
    assert explain(conf, "GET", "http://x/users")["server"] == "web"
    assert explain(conf, "GET", "/users")["server"] == "web"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["GET", "http://x:8080/"],
            "several servers listen on port 8080: choose one with --server",
        ),
        (["GET", "https://x/"], "no server listens on port 443: choose one with --server NAME;"),
        (["GET", "/"], "servers: web (127.0.0.1:8080), other (127.0.0.1:8081, 127.0.0.2:8080)"),
        (["GET", "/", "--server", "wed"], 'no server is named "wed"; did you mean "web"?'),
        (["GET", "x.example/"], 'found "x.example/", expected a URL such as "http://host/path"'),
        (["GET", "http://a b/"], '"a b" is not a host'),
        (["GET", "/a b"], '"/a b": percent-encode spaces and control characters'),
        (["G T", "/"], '"G T" is not a method'),
        (["GET", "/", "-H", "X"], 'found "X", expected a header such as "Name: value"'),
        (["GET", "/", "-H", "X Y: z"], "'X Y'"),
        (["GET"], "Missing argument 'URL'"),
    ],
)
def test_wrong_use(conf: Path, arguments: list[str], message: str) -> None:
    conf.write_text(CONF.replace("127.0.0.1:8081", SEVERAL))
    code, out, err = invoke("explain", "-c", conf, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_broken_configuration_is_told_as_by_the_check(conf: Path) -> None:
    conf.write_text(CONF.replace('"twin", ', '"twn", '))
    assert invoke("explain", "GET", "/", "-c", conf) == invoke("-t", "-c", conf)


def test_it_says_what_the_proxy_does(tmp_path: Path) -> None:
    """The same paths, explained and asked for."""
    toml = """
    [plugins.a]
    category = "mock"
    data = "a"
    [plugins.b]
    category = "mock"
    data = "b"
    [locations.a]
    path = "/x"
    host = "*.example"
    plugins = ["a"]
    [locations.b]
    match_query = ["b"]
    plugins = ["b"]
    [servers.web]
    addr = "127.0.0.1:0"
    locations = ["a", "b"]
    """
    conf = tmp_path / "pingap.toml"
    conf.write_text(toml)
    with Process(toml, tmp_path / "proxy") as proxy, proxy.connect() as client:
        for path, host in [("/x", "a.example"), ("/x", "example"), ("/x?b", "b"), ("/?b", "b")]:
            asked = client.get(path, headers={"Host": host})
            found = explain(conf, "GET", path, "-H", f"Host: {host}")["location"]
            assert (asked.body.decode() if asked.status == 200 else None) == found


def test_an_internal_location_gets_no_request_of_a_client(tmp_path: Path) -> None:
    file = tmp_path / "pingap.toml"
    file.write_text("""
[locations.site]
plugins = ["pingap:ping"]
[locations.files]
path = "/files"
internal = true
plugins = ["pingap:ping"]
[servers.web]
addr = "127.0.0.1:8080"
locations = ["site", "files"]
""")
    found = explain(file, "GET", "http://x:8080/files/a")
    assert found["location"] == "site"
    [loss] = found["losses"]
    assert loss["reasons"] == [
        {"kind": "internal", "text": "internal: only internal redirects reach it"}
    ]


def test_what_comes_from_the_environment(tmp_path: Path) -> None:
    toml = """[servers.web]
addr = "127.0.0.1:${PORT}"
locations = ["all"]
[locations.all]
plugins = ["door"]
upstream = "app"
proxy_set_headers = ["X-Name: ${WHO:-nobody}", "X-Pass: ${PASS_TOKEN}", "Authorization: x${WHO:-y}"]
[plugins.door]
category = "basic_auth"
authorizations = ["$ENV:CREDENTIALS"]
realm = "${WHO:-nobody}"
[upstreams.app]
addrs = ["$ENV:BACKEND"]
"""
    conf = tmp_path / "a.toml"
    conf.write_text(toml)
    missing = invoke("-c", "a.toml", "-t", cwd=tmp_path)
    assert missing[0] == 2
    assert missing[2].count("is not set") == 4
    assert missing[2].endswith("4 problems.\n")
    given = {
        "PORT": "8080",
        "PASS_TOKEN": "hush1",
        "CREDENTIALS": "YTpodXNoMg==",
        "BACKEND": "127.0.0.1:9",
    }
    code, out, err = invoke("explain", "-c", "a.toml", "GET", "/", cwd=tmp_path, **given)
    assert (code, err) == (0, "")
    lines = [
        re.split(" {2,}", one.strip())
        for one in out.partition("From the environment:\n")[2].splitlines()
    ]
    assert lines == [
        ["servers.web.addr", "127.0.0.1:${PORT}", "= 127.0.0.1:8080", "a.toml:2"],
        [
            "locations.all.proxy_set_headers[0]",
            "X-Name: ${WHO:-nobody}",
            "= X-Name: nobody",
            "a.toml:7",
        ],
        ["locations.all.proxy_set_headers[1]", "X-Pass: ${PASS_TOKEN}", "= ***", "a.toml:7"],
        [
            "locations.all.proxy_set_headers[2]",
            "Authorization: ***",
            "= Authorization: ***",
            "a.toml:7",
        ],
        ["plugins.door.authorizations[0]", "$ENV:CREDENTIALS", "= ***", "a.toml:10"],
        ["plugins.door.realm", "${WHO:-nobody}", "= nobody", "a.toml:11"],
        ["upstreams.app.addrs[0]", "$ENV:BACKEND", "= 127.0.0.1:9", "a.toml:13"],
    ]
    assert "hush" not in out
    found = json.loads(invoke("explain", "--json", "-c", conf, "GET", "/", **given)[1])
    assert found["environment"][0]["value"] == "127.0.0.1:8080"
