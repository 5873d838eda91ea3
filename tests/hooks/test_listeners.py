"""Servers that a distribution asks for, beside those of the configuration."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.certificates import issue
from support.check import check
from support.command import invoke
from support.plugins import python_path, routes, write_distribution
from support.process import Process
from support.tls import TlsClient, client_context

from pingap.testing import Upstream

SOURCE = """
class Token(Plugin):
    class Settings(PluginSettings):
        tokens: bool = False

    @hookimpl
    def server_request(self, request, ctx):
        if request.path == "/token":
            return Response.text(200, ctx.connection.server)


@hookimpl
def pingap_basic_keys(): return {"tokens": Token}

@hookimpl
def pingap_listeners(config):
    if config.basic.claimed.get("tokens"):
        return {"tokens:http": {"addr": "127.0.0.1:0", "remark": str(len(config.servers))}}
    return {}
"""
POINTS = {"basic:tokens": "tokens"}
USED = "[basic]\ntokens = true\n"


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    write_distribution(tmp_path / "site", "tokens", SOURCE, POINTS)
    return python_path(tmp_path / "site")


def test_hook_pingap_listeners_are_opened_and_reloaded_as_any_server(
    tmp_path: Path, upstream: Upstream, site: dict[str, str]
) -> None:
    toml = routes({"a": ""}, upstream.addr)
    with Process(toml, tmp_path / "proxy", env=site) as proxy:
        assert proxy.addresses.keys() == {"web"}
    with Process(USED + toml, tmp_path / "proxy", env=site) as proxy:
        assert proxy.addresses.keys() == {"web", "tokens:http"}
        for server in ("tokens:http", "web"):
            with proxy.connect(server) as client:
                assert client.get("/token").body.decode() == server
        with proxy.connect("tokens:http") as client:
            assert client.get("/a/").status == 404
        port = proxy.port("tokens:http")
        proxy.conf.write_text(USED + toml + "via = 'me'\n")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("the configuration was reloaded")
        with proxy.connect("tokens:http") as client:
            assert client.get("/token").body == b"tokens:http"
        assert proxy.port("tokens:http") == port


VAULT = """
from pathlib import Path

class Vault(CertificateSource):
    contract = "1.1"

    class Settings(PluginSettings):
        vault: str

    def __init__(self, settings): self.folder = Path(settings.vault)

    def load(self): return KeyPair(*((self.folder / one).read_bytes() for one in ("chain", "key")))

    @classmethod
    @hookimpl
    def pingap_certificate_sources(cls): return {"vault": cls}
"""


def test_a_server_of_a_distribution_has_the_certificate_of_a_source(
    tmp_path: Path, upstream: Upstream
) -> None:
    source = VAULT + SOURCE.replace('"addr": "127', '"global_certificates": True, "addr": "127')
    write_distribution(
        tmp_path / "site", "tokens", source, {**POINTS, "certificates:vault": "tokens:Vault"}
    )

    def fill() -> bytes:
        issued = issue("a.test")
        (tmp_path / "chain").write_text(issued.cert)
        (tmp_path / "key").write_text(issued.key)
        return issued.certificate.public_bytes(Encoding.DER)

    def shown() -> bytes:
        with TlsClient(proxy, client_context(), "a.test", server="tokens:http") as client:
            assert client.get("/token").body == b"tokens:http"
            return client.peer

    certificate = fill()
    toml = f'{USED}[certificates.x]\nvault = "{tmp_path}"\n{routes({"a": ""}, upstream.addr)}'
    with Process(toml, tmp_path / "proxy", env=python_path(tmp_path / "site")) as proxy:
        assert shown() == certificate
        with proxy.connect() as client:  # (the server of the configuration has no TLS)
            assert client.get("/token").body == b"web"
        certificate = fill()
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("the configuration was reloaded", 20)
        assert shown() == certificate


def test_a_server_of_a_distribution_comes_with_a_reload(
    tmp_path: Path, upstream: Upstream, site: dict[str, str]
) -> None:
    toml = routes({"a": ""}, upstream.addr)
    with Process(toml, tmp_path / "proxy", env=site) as proxy:
        proxy.conf.write_text(USED + toml)
        proxy.process.send_signal(signal.SIGHUP)
        log = proxy.wait_for_log("the configuration was reloaded")
        assert "++ [ADDED] server:tokens:http" in log


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        (
            '{"tokens:http": {"addr": "127.0.0.1:0", "adr": 1}}',
            'distribution tokens: servers."tokens:http".adr: unknown key; did you mean "addr"?',
        ),
        (
            '{"tokens:http": {"addr": "127.0.0.1:0", "locations": ["x"]}}',
            'distribution tokens: servers."tokens:http".locations[0]: no location block is named "x"',
        ),
        (
            '{"tokens:http": {"addr": "127.0.0.1:0", "via": "a b"}}',
            'distribution tokens: servers."tokens:http".via: ',
        ),
        (
            '{"tokens:a": {"addr": "127.0.0.1:1"}, "tokens:b": {"addr": "127.0.0.1:1"}}',
            '"127.0.0.1:1" is already used by servers."tokens:a" (distribution tokens)',
        ),
        (
            '{"http": {"addr": "127.0.0.1:0"}}',
            "distribution tokens: servers.http: the name of a server of tokens must begin with"
            ' "tokens:"',
        ),
        (
            "1 / 0",
            "distribution tokens: pingap_listeners failed: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_mistakes_name_the_distribution(tmp_path: Path, servers: str, told: str) -> None:
    source = SOURCE.replace(
        '{"tokens:http": {"addr": "127.0.0.1:0", "remark": str(len(config.servers))}}', servers
    )
    assert source != SOURCE
    write_distribution(tmp_path / "site", "tokens", source, POINTS)
    code, said = check(tmp_path, USED)
    assert code == 2
    assert told in said


def test_explain_shows_where_a_server_comes_from(tmp_path: Path, site: dict[str, str]) -> None:
    path = tmp_path / "pingap.toml"
    path.write_text(USED + routes({"a": ""}, "127.0.0.1:9"))
    _, out, _ = invoke("explain", "GET", "/token", "--server", "tokens:http", "-c", path, **site)
    (line,) = [line for line in out.splitlines() if line.startswith("server ")]
    assert line.split() == [
        "server",
        "tokens:http",
        "127.0.0.1:0",
        "(of",
        "the",
        "distribution",
        "tokens)",
    ]
    assert "Token.server_request" in out
