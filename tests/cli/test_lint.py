"""``pingap lint``: each finding, and that there is none where nothing is wrong."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest
from docs.blocks import ROOT
from support.certificates import issue
from support.command import invoke
from support.plugins import python_path, write_distribution

from pingap.config import TEMPLATE

GUARDED = """
class Door(Plugin):
    category = "door"
    guard = True

    class Settings(PluginSettings):
        token: str = ""
        password: pydantic.SecretStr = pydantic.SecretStr("")

    def __init__(self, settings):
        self.token = settings.token

    def advice(self):
        if self.token == "1234":
            yield "token", "it is easy to guess", "use a longer one"

    @hookimpl
    def request(self) -> Response | None:
        return None
"""


@pytest.fixture
def plugins(tmp_path: Path) -> dict[str, str]:
    """An environment in which there is a guard."""
    source = "import pydantic\n" + GUARDED
    write_distribution(tmp_path / "site", "test_guard", source)
    return python_path(tmp_path / "site")


def conf(folder: Path, *tables: str, addr: str = "0.0.0.0:8080", server: str = "") -> Path:
    """Write a server ``web`` that lists every location of ``tables``, and an upstream ``app``.

    Without a location in them there is ``site``.
    """
    text = "\n".join(tables)
    if "[locations." not in text:
        text = f'[locations.site]\nupstream = "app"\n{text}'
    names = [line[11:-1] for line in text.splitlines() if line.startswith("[locations.")]
    path = folder / "pingap.toml"
    path.write_text(
        f'[servers.web]\naddr = "{addr}"\nlocations = {names!r}\n{server}\n'
        f'[upstreams.app]\naddrs = ["127.0.0.1:9"]\n{text}'
    )
    return path


def findings(path: Path) -> list[tuple[str, str, int]]:
    """Return id, key and line of each finding."""
    code, out, err = invoke("lint", "--json", "-c", path)
    found = json.loads(out)["findings"]
    assert (code, err) == (1 if found else 0, "")
    assert all(one["file"] == str(path) and one["message"] and one["fix"] for one in found)
    return [(one["id"], one["key"], one["line"]) for one in found]


def line_of(path: Path, text: str) -> int:
    return path.read_text().splitlines().index(text) + 1


def test_what_comes_with_pingap_has_no_findings(tmp_path: Path) -> None:
    assert invoke("lint", "-c", ROOT / "conf.d") == (0, "No findings.\n", "")
    template = tmp_path / "template.toml"
    template.write_text(TEMPLATE)
    assert invoke("lint", "-c", template) == (0, "No findings.\n", "")


def test_a_finding_has_its_place_and_a_fix(tmp_path: Path) -> None:
    path = conf(tmp_path, '[plugins.lonely]\ncategory = "ping"\npath = "/x"\n')
    assert invoke("lint", PINGAP_CONF=str(path)) == (
        1,
        f"{path}:9: plugins.lonely: is never used: no location or server lists it [unused]\n"
        "    fix: remove it, or refer to it\n"
        "1 finding.\n",
        "",
    )


def test_a_broken_configuration_is_told_as_by_the_check(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('[servers.web]\naddr = "127.0.0.1:0"\nlocations = ["none"]\n')
    assert invoke("lint", "-c", path) == invoke("-t", "-c", path)
    assert invoke("lint", "-c", path)[0] == 2
    code, _, err = invoke("lint")
    assert (code, "where is the configuration? Give -c PATH" in err) == (2, True)


def test_the_configuration_may_stand_before_the_command(tmp_path: Path) -> None:
    assert invoke("-c", conf(tmp_path), "lint")[0] == 0
    code, _, err = invoke("-t", "-c", conf(tmp_path), "lint")
    assert (code, "--test does not go with the command lint" in err) == (2, True)


# Dead routes.


@pytest.mark.parametrize(
    ("heavy", "light", "is_dead"),
    [
        ('path = "/a"', 'path = "/a"', True),
        ('path = "/a"', 'path = "/a/b"', True),
        ('path = "/a"', 'path = "=/a/b"', True),
        ('path = "/a/b"', 'path = "/a"', False),
        ('path = "=/a"', 'path = "/a"', False),
        ('path = "/"', 'path = "~^/a"', True),
        ('path = "/a"', 'path = "~^/a"', False),
        ('path = "~^/[ab]$"', 'path = "=/a"', True),
        ('path = "~^/[ab]$"', 'path = "=/c"', False),
        ("", 'path = "/a"', True),
        ("", 'host = "a.example"', True),
        ('host = "a.example"', "", False),
        ('host = "a.example, b.example"', 'host = "B.example"', True),
        ('host = "a.example"', 'host = "a.example, b.example"', False),
        ('host = "*.example"', 'host = "a.example"', True),
        ('host = "*.example"', 'host = "*.a.example"', True),
        ('host = "*.example"', 'host = "example"', False),
        ('host = "~^a"', 'host = "~^a"', True),
        ('host = "~^a"', 'host = "ab"', False),
        ('match_query = ["v:1"]', "", False),
        ('match_query = ["v:1"]', 'match_query = ["v:1", "w"]', True),
        ('match_headers = ["v:1"]', 'match_query = ["v:1"]', False),
    ],
)
def test_dead_route(tmp_path: Path, heavy: str, light: str, is_dead: bool) -> None:
    tables = [
        f'[locations.heavy]\nupstream = "app"\nweight = 9\n{heavy}\n',
        f'[locations.light]\nupstream = "app"\nweight = 8\n{light}\n',
    ]
    path = conf(tmp_path, *tables)
    expected = [("dead-route", "locations.light", line_of(path, "[locations.light]"))]
    assert findings(path) == (expected if is_dead else [])


def test_the_metrics_shadow_a_location(tmp_path: Path) -> None:
    table = '[locations.own]\nupstream = "app"\npath = "=/m"\n'
    path = conf(tmp_path, table, addr="127.0.0.1:0", server='prometheus_metrics = "/m"')
    _, out, _ = invoke("lint", "-c", path)
    assert "never gets a request on the server web: prometheus_metrics has this path" in out


def test_the_rest_that_a_shadow_leaves_is_named(tmp_path: Path) -> None:
    tables = [
        '[locations.root]\nupstream = "app"\npath = "/"\nweight = 9\n',
        '[locations.site]\nupstream = "app"\n',
    ]
    path = conf(tmp_path, *tables)
    _, out, _ = invoke("lint", "-c", path)
    assert "locations.site: never gets a request but OPTIONS * on the server web" in out


# Guards.


def test_order_hazards_are_told_at_load_and_by_lint(
    tmp_path: Path, plugins: dict[str, str]
) -> None:
    tables = [
        '[locations.shop]\nupstream = "app"\nplugins = ["page", "door"]\n',
        '[plugins.page]\ncategory = "mock"\n[plugins.door]\ncategory = "door"\n',
    ]
    path = conf(tmp_path, *tables)
    line = line_of(path, 'plugins = ["page", "door"]')
    where = f"{path}:{line}: locations.shop.plugins"
    harm = '"page" may answer before the guard "door" is asked'
    advice = 'list "door" before "page"'
    code, _, err = invoke("-t", "-c", path, **plugins)
    assert (code, f"warning: {where}: {harm}: {advice}\n" in err) == (0, True)
    code, out, _ = invoke("lint", "-c", path, **plugins)
    assert (code, out) == (1, f"{where}: {harm} [order]\n    fix: {advice}\n1 finding.\n")


def test_missing_guard(tmp_path: Path) -> None:
    tables = [
        '[locations.admin]\nupstream = "app"\npath = "/shop/admin/"\n',
        '[locations.badminton]\nupstream = "app"\npath = "/badminton"\n',
        '[locations.inside]\npath = "=/x"\nplugins = ["pingap:stats"]\n',
    ]
    path = conf(tmp_path, *tables, server='prometheus_metrics = "/metrics"')
    assert findings(path) == [
        ("missing-guard", "servers.web.prometheus_metrics", 4),
        ("missing-guard", "locations.admin.path", line_of(path, 'path = "/shop/admin/"')),
        ("missing-guard", "locations.inside.plugins", line_of(path, 'plugins = ["pingap:stats"]')),
    ]


def test_guards_under_raw_paths(tmp_path: Path, plugins: dict[str, str]) -> None:
    tables = [
        '[locations.admin]\nupstream = "app"\npath = "/a"\nplugins = ["door"]\n',
        '[locations.denied]\npath = "~^/b"\nplugins = ["deny"]\n',
        '[locations.pong]\npath = "=/c"\nplugins = ["pingap:ping"]\n',
        '[locations.all]\nupstream = "app"\npath = "/"\nplugins = ["door"]\n',
        '[plugins.door]\ncategory = "door"\n[plugins.deny]\ncategory = "mock"\nstatus = 403\n',
    ]
    assert invoke("lint", "-c", conf(tmp_path, *tables), **plugins)[1] == "No findings.\n"
    raw = conf(tmp_path, *tables, server='path_matching = "raw"')
    code, out, _ = invoke("lint", "-c", raw, **plugins)
    assert (code, out.count("[raw-path-guard]")) == (1, 2)
    line = line_of(raw, 'path = "/a"')
    assert f"{raw}:{line}: locations.admin.path: the server web matches raw paths" in out
    assert 'so clients can bypass "deny" by' in out


@pytest.mark.parametrize(
    ("heavier", "lighter", "dead"),
    [
        ("", 'match_methods = ["GET"]', True),
        ('match_methods = ["GET"]', "", False),
        ('match_methods = ["GET", "PUT"]', 'match_methods = ["PUT", "GET"]', True),
        ('match_headers = ["!X-A"]', 'match_headers = ["X-A"]', False),
        ('match_ips = ["10.0.0.0/8"]', 'match_ips = ["10.0.0.0/8"]', True),
    ],
)
def test_a_location_without_requests(
    tmp_path: Path, heavier: str, lighter: str, dead: bool
) -> None:
    tables = [
        f'[locations.a]\nupstream = "app"\nweight = 2\n{heavier}\n',
        f'[locations.b]\nupstream = "app"\nweight = 1\n{lighter}\n',
    ]
    found = [kind for kind, *_ in findings(conf(tmp_path, *tables))]
    assert found == (["dead-route"] if dead else [])


def test_what_can_never_be_matched_is_warned_of(tmp_path: Path) -> None:
    table = '[locations.a]\nupstream = "app"\npath = "~^/%7Euser"\n'
    path = conf(tmp_path, table)
    assert findings(path) == [
        ("load-warning", "locations.a.path", line_of(path, 'path = "~^/%7Euser"')),
    ]
    raw = conf(tmp_path, table, server='path_matching = "raw"\nallow_in_paths = ["nul"]')
    assert [key for _, key, _ in findings(raw)] == ["servers.web.allow_in_paths"]


def test_a_server_for_this_machine_needs_no_guard(tmp_path: Path) -> None:
    table = '[locations.admin]\nupstream = "app"\npath = "/admin"\n'
    path = conf(tmp_path, table, addr="127.0.0.1:0, [::1]:0, unix:/x", server="")
    assert findings(path) == []
    # Unless another proxy lets others in.
    path.write_text(path.read_text() + '[basic]\ntrusted_proxies = ["127.0.0.1"]\n')
    assert [kind for kind, _, _ in findings(path)] == ["missing-guard"]


def test_a_plugin_gives_advice(tmp_path: Path, plugins: dict[str, str]) -> None:
    tables = [
        '[locations.a]\nupstream = "app"\nplugins = ["door", "gate"]\n',
        '[plugins.door]\ncategory = "door"\ntoken = "1234"\n',
        '[plugins.gate]\ncategory = "door"\n',
    ]
    path = conf(tmp_path, *tables)
    out = invoke("lint", "-c", path, **plugins)[1]
    line = line_of(path, 'token = "1234"')
    told = f"{path}:{line}: plugins.door.token: it is easy to guess [plugin-setting]\n"
    assert told + "    fix: use a longer one\n" in out
    assert out.count("[plugin-setting]") == 1


def test_a_guard_in_the_location_is_enough(tmp_path: Path, plugins: dict[str, str]) -> None:
    tables = [
        '[locations.admin]\nupstream = "app"\npath = "/admin"\nplugins = ["door"]\n',
        '[plugins.door]\ncategory = "door"\n',
    ]
    assert invoke("lint", "-c", conf(tmp_path, *tables), **plugins) == (0, "No findings.\n", "")


# Unused tables.


def test_unused(tmp_path: Path) -> None:
    tables = [
        '[plugins.a]\ncategory = "ping"\npath = "/"\n',
        '[upstreams.b]\naddrs = ["127.0.0.1:9"]\n',
        '[storages.c]\ncategory = "config"\nvalue = ""\n',
    ]
    path = conf(tmp_path, *tables)
    path.write_text(path.read_text() + '[locations.d]\nupstream = "app"\n' + issue("a").toml("e"))
    found = findings(path)
    unused = [key for kind, key, _ in found if kind == "unused"]
    assert unused == ["plugins.a", "upstreams.b", "storages.c", "locations.d", "certificates.e"]


def test_what_a_plugin_or_a_capture_may_choose_is_used(tmp_path: Path) -> None:
    tables = [
        '[upstreams.b]\naddrs = ["127.0.0.1:9"]\n',
        '[plugins.p]\ncategory = "mock"\ndata = ""\n',
        '[locations.l]\nupstream = "app"\nhost = "~^(?P<h>.*)$"\nplugins = ["p"]\n',
    ]
    path = conf(tmp_path, *tables)
    text = path.read_text()
    assert findings(path) == [("unused", "upstreams.b", line_of(path, "[upstreams.b]"))]
    path.write_text(text.replace('data = ""', 'data = "b"'))
    assert findings(path) == []
    path.write_text(text.replace('upstream = "app"', 'upstream = "$h"'))
    assert findings(path) == []


def test_included_storages_are_used(tmp_path: Path) -> None:
    tables = ['includes = ["c"]\n', '[storages.c]\ncategory = "config"\nvalue = ""\n']
    assert findings(conf(tmp_path, *tables)) == []


# Secrets.


@pytest.mark.parametrize(
    ("setting", "fix"),
    [
        ('password = "x"', "write $ENV:NAME or file:PATH"),
        ('password = "$ENV:X"', ""),
        ('password = "file:x"', ""),
        ('password = ""', ""),
        ('token = "x"', "let only pingap read this file"),
        ('token = "$ENV:X"', ""),
    ],
)
def test_clear_secret(tmp_path: Path, plugins: dict[str, str], setting: str, fix: str) -> None:
    tables = [
        '[locations.a]\nupstream = "app"\npath = "/a"\nplugins = ["door"]\n',
        f'[plugins.door]\ncategory = "door"\n{setting}\n',
    ]
    path = conf(tmp_path, *tables)
    code, out, err = invoke("lint", "-c", path, X="from outside", **plugins)
    assert (code, err) == (1 if fix else 0, "")
    if fix:
        place = f"{path}:{line_of(path, setting)}: plugins.door.{setting.partition(' ')[0]}: "
        assert out.startswith(place)
        assert f"[clear-secret]\n    fix: {fix}" in out
        assert '"x"' not in out


@pytest.mark.parametrize(
    ("entry", "is_clear"),
    [
        ("Authorization: Bearer x", True),
        ("X-Api-Key: x", True),
        ("X-Api-Key: $HOME", False),
        ("X-Keyboard: x", False),
    ],
)
def test_secret_in_a_header(tmp_path: Path, entry: str, is_clear: bool) -> None:
    path = conf(tmp_path, f'proxy_set_headers = ["{entry}"]\n')
    expected = [("clear-secret", "locations.site.proxy_set_headers", 9)]
    assert findings(path) == (expected if is_clear else [])


def test_a_private_key_may_be_the_path_of_a_file(tmp_path: Path) -> None:
    issued = issue("a")
    cert, key = issued.write(tmp_path, "a")
    path = conf(tmp_path, f'[certificates.a]\ntls_cert = "{cert}"\ntls_key = "{key}"\n')
    assert "clear-secret" not in [kind for kind, _, _ in findings(path)]
    encoded = b64encode(issued.key.encode()).decode()
    path.write_text(path.read_text().replace(key, encoded))
    assert "clear-secret" in [kind for kind, _, _ in findings(path)]
