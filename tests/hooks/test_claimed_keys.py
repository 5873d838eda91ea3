"""Keys of tables that distributions claim: one instance for all of a class, and where it runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from support.certificates import issue
from support.check import check
from support.command import invoke
from support.plugins import python_path, routes, write_distribution
from support.process import Process

from pingap.testing import Upstream

SOURCE = '''
class Mark(Plugin):
    """Answers /ask with what it knows, and marks what it sees."""

    category = "mark"

    class Settings(PluginSettings):
        mark: str
        depth: int = 0

    def __init__(self, settings, table):
        if settings.depth > 9:
            raise ValueError("too deep")
        self.settings, self.table = settings, table
        self.seen = 0

    async def startup(self, tasks):
        log.warning("start %s %s", self.table.section, self.table.name)

    async def shutdown(self):
        log.warning("end %s %s", self.table.section, self.table.name)

    @hookimpl
    def server_request(self, request, ctx):
        self.seen += 1
        ctx.state.setdefault("order", []).append(self.settings.mark)
        if request.path == f"/ask/{self.settings.mark}":
            known = {"section": self.table.section, "name": self.table.name, "seen": self.seen}
            known |= {"depth": self.settings.depth, "order": ctx.state["order"]}
            known["domains"] = self.table.values.get("domains")
            return Response.text(200, __import__("json").dumps(known))


class Listed(Plugin):
    category = "listed"

    @hookimpl
    def server_request(self, request, ctx):
        ctx.state.setdefault("order", []).append("listed")
        if request.path == "/order":
            return Response.text(200, " ".join(ctx.state["order"]))


KEYS = {"mark": Mark, "depth": Mark}

@hookimpl
def pingap_plugin_categories(): return [Listed]
@hookimpl
def pingap_server_keys(): return {**KEYS, "depht": Mark}
@hookimpl
def pingap_basic_keys(): return KEYS
@hookimpl
def pingap_certificate_keys(): return KEYS
@hookimpl
def pingap_location_keys(): return KEYS
@hookimpl
def pingap_upstream_keys(): return KEYS
'''
SECTIONS = ("server", "basic", "certificate", "location", "upstream")
POINTS = {f"{section}:{key}": "marks" for section in SECTIONS for key in ("mark", "depth")}
POINTS |= {"listed": "marks", "server:depht": "marks"}
MORE = """
[basic]
mark = "process"
[certificates.site]
domains = "a.example,b.example"
tls_cert = "cert.pem"
tls_key = "key.pem"
mark = "certificate"
[plugins.listed]
category = "listed"
"""


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    write_distribution(tmp_path / "site", "marks", SOURCE, POINTS)
    issued = issue("a.example", "b.example")
    for folder in (tmp_path, tmp_path / "proxy"):
        folder.mkdir(exist_ok=True)
        (folder / "cert.pem").write_text(issued.cert)
        (folder / "key.pem").write_text(issued.key)
    return python_path(tmp_path / "site")


def test_keys_of_one_class_are_one_instance_in_front_of_what_is_listed(
    tmp_path: Path, upstream: Upstream, site: dict[str, str]
) -> None:
    server = 'plugins = ["listed"]\nmark = "server"\ndepth = 3'
    toml = routes({"a": ""}, upstream.addr, more=MORE, server=server)
    with Process(toml, tmp_path / "proxy", env=site) as proxy, proxy.connect() as client:
        assert client.get("/order").body == b"process certificate server listed"
        known = json.loads(client.get("/ask/server").body)
        assert known["depth"] == 3
        assert (known["section"], known["name"]) == ("servers", "web")


def test_an_instance_knows_its_table(
    tmp_path: Path, upstream: Upstream, site: dict[str, str]
) -> None:
    toml = routes({"a": ""}, upstream.addr, more=MORE)
    with Process(toml, tmp_path / "proxy", env=site) as proxy:
        with proxy.connect() as client:
            known = json.loads(client.get("/ask/certificate").body)
            assert (known["section"], known["name"]) == ("certificates", "site")
            assert known["domains"] == "a.example,b.example"
            known = json.loads(client.get("/ask/process").body)
            assert (known["section"], known["name"]) == ("basic", "")
        assert proxy.stop() == 0
        for what in ("start", "end"):
            assert f"WARN {what} basic \n" in proxy.log
            assert f"WARN {what} certificates site\n" in proxy.log


def test_a_reload_keeps_instances_whose_table_is_the_same(
    tmp_path: Path, upstream: Upstream, site: dict[str, str]
) -> None:
    server = 'plugins = ["listed"]\nmark = "server"'
    toml = routes({"a": ""}, upstream.addr, more=MORE, server=server)
    with Process(toml, tmp_path / "proxy", env=site) as proxy:
        with proxy.connect() as client:
            client.get("/order")
        proxy.conf.write_text(toml.replace('mark = "server"', 'mark = "other"'))
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("the configuration was reloaded")
        with proxy.connect() as client:
            assert json.loads(client.get("/ask/process").body)["seen"] == 2
            assert json.loads(client.get("/ask/other").body)["seen"] == 1


@pytest.mark.parametrize("table", ["basic", "servers.web", "locations.a", "upstreams.u"])
def test_settings_are_checked_at_their_lines(
    tmp_path: Path, site: dict[str, str], table: str
) -> None:
    rest = {"servers.web": 'addr = "127.0.0.1:0"', "upstreams.u": 'addrs = ["127.0.0.1:9"]'}
    begin = f"[{table}]\n{rest.get(table, '')}\n"
    code, said = check(tmp_path, f'{begin}mark = 3\ndepth = "x"\n')
    assert code == 2
    assert said == (
        f"p.toml:3: {table}.mark: found 3 (integer), expected a string\n"
        f'p.toml:4: {table}.depth: found "x" (string), expected an integer\n2 problems.\n'
    )
    code, said = check(tmp_path, f'{begin}mark = "x"\ndepth = 10\n')
    assert said == f"p.toml:1: {table}: cannot be built: too deep\n1 problem.\n"


def test_a_key_that_the_settings_do_not_have_is_an_error(
    tmp_path: Path, site: dict[str, str]
) -> None:
    toml = '[servers.web]\naddr = "127.0.0.1:0"\nmark = "x"\ndepht = 3\n'
    assert check(tmp_path, toml) == (
        2,
        'p.toml:4: servers.web.depht: unknown key; did you mean "depth"?\n1 problem.\n',
    )


@pytest.mark.parametrize(
    ("table", "phase", "kind"),
    [("certificates.x", "request", "a certificate"), ("upstreams.x", "response", "an upstream")],
)
def test_a_phase_that_never_runs_is_an_error(
    tmp_path: Path, table: str, phase: str, kind: str
) -> None:
    source = f"""
class Late(Plugin):
    class Settings(PluginSettings):
        late: bool = False

    @hookimpl
    def {phase}(self): pass

@hookimpl
def pingap_certificate_keys(): return {{"late": Late}}
@hookimpl
def pingap_upstream_keys(): return {{"late": Late}}
"""
    points = {"certificate:late": "late", "upstream:late": "late"}
    write_distribution(tmp_path / "site", "late", source, points)
    addrs = '\naddrs = ["127.0.0.1:9"]' if table.startswith("up") else ""
    code, said = check(tmp_path, f"[{table}]\nlate = true{addrs}\n")
    assert code == 2
    told = f"p.toml:2: {table}.late: its plugin has a phase that does not run for {kind}: {phase}"
    assert told in said.splitlines()


def test_claimed_keys_are_shown_by_the_commands(tmp_path: Path, site: dict[str, str]) -> None:
    path = tmp_path / "pingap.toml"
    path.write_text(routes({"a": ""}, "127.0.0.1:9", more=MORE, server='mark = "server"'))
    code, out, _ = invoke("plugins", "-c", path, **site)
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["server", "key", "mark", "yes", "servers.web"] in rows
    assert ["key", "of", "[basic]", "mark", "yes", "basic"] in rows
    code, out, _ = invoke("explain", "GET", "/a/", "--server", "web", "-c", path, **site)
    steps = [line.split() for line in out.splitlines() if "Mark.server_request" in line]
    assert [step[-4:-1] for step in steps] == [
        ["basic.mark", f"{path}:13", "Mark.server_request"],
        ["certificates.site.mark", f"{path}:18", "Mark.server_request"],
        ["servers.web.mark", f"{path}:25", "Mark.server_request"],
    ]
    code, out, _ = invoke("schema", **site)
    defined = json.loads(out)
    tables = [defined["properties"]["basic"], *map(defined["$defs"].get, ("servers", "upstreams"))]
    assert [table["properties"]["depth"]["type"] for table in tables] == [["integer", "string"]] * 3
