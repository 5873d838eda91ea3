"""Sources of certificates: distributions that provide the certificate of a table."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.certificates import Issued, issue
from support.check import check
from support.plugins import python_path, write_distribution
from support.process import Process
from support.tls import TlsClient, client_context
from support.waiting import until

from pingap import KeyPair
from pingap.build.registry import installed_registry
from pingap.inspection.json_schema import json_schema

VAULT = """
from pathlib import Path

class Vault(CertificateSource):
    contract = "1.1"

    class Settings(PluginSettings):
        vault: str
        vault_wait: bool = False

    def __init__(self, settings):
        self.folder, self.wait = Path(settings.vault), settings.vault_wait
        log.warning("an instance is made")

    def load(self):
        if self.wait or not (self.folder / "chain").exists():
            return None
        if (self.folder / "bad").exists():
            return eval((self.folder / "bad").read_text())
        return KeyPair(*((self.folder / one).read_bytes() for one in ("chain", "key")))

    async def startup(self, tasks, worker):
        log.warning("%s of %s in %s", self.name, self.domains, self.directory)
        if self.wait:
            chain, key = ((self.folder / one).read_bytes() for one in ("chain", "key"))
            worker.certificates.replace(self.name, chain, key)

    async def shutdown(self):
        log.warning("%s ends", self.name)

    @classmethod
    @hookimpl
    def pingap_certificate_sources(cls):
        return dict.fromkeys(("vault", "vault_wait"), cls)
"""
POINTS = {"certificates:vault": "my_vault:Vault", "certificates:vault_wait": "my_vault:Vault"}
STATIC = """
class Ours(CertificateSource):
    contract = "1.1"

    class Settings(PluginSettings):
        tls_cert: str
        tls_key: Secret

    def load(self):
        raise ValueError("not from here")

    @classmethod
    @hookimpl
    def pingap_certificate_sources(cls):
        return dict.fromkeys(("tls_cert", "tls_key"), cls)
"""
SERVER = """
[plugins.mock]
category = "mock"
[locations.all]
plugins = ["mock"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
global_certificates = true
"""


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    write_distribution(tmp_path / "site", "my_vault", VAULT, POINTS)
    folder = tmp_path / "vault"
    folder.mkdir()
    return folder


def fill(vault: Path, issued: Issued) -> None:
    (vault / "chain").write_text(issued.cert)
    (vault / "key").write_text(issued.key)


def table(vault: Path, more: str = "") -> str:
    return f'[certificates.x]\ndomains = "x.test"\nvault = "{vault}"\n{more}\n'


@contextmanager
def serving(folder: Path, toml: str) -> Iterator[Process]:
    with Process(SERVER + toml, folder / "proxy", env=python_path(folder / "site")) as proxy:
        yield proxy


def shown(proxy: Process, name: str) -> bytes:
    with TlsClient(proxy, client_context(), name) as client:
        return client.peer


def der(issued: Issued) -> bytes:
    return issued.certificate.public_bytes(Encoding.DER)


def test_a_source_provides_the_certificate_and_lives_with_its_table(
    tmp_path: Path, vault: Path
) -> None:
    first, second = issue("x.test"), issue("x.test")
    fill(vault, first)
    with serving(tmp_path, table(vault)) as proxy:
        assert shown(proxy, "x.test") == der(first)
        proxy.wait_for_log(f"x of ('x.test',) in {proxy.folder}")
        made = proxy.log.count("an instance is made")
        fill(vault, second)
        reload(proxy, SERVER.replace("[locations.all]", "[locations.all]\nweight = 5"), vault)
        until(lambda: shown(proxy, "x.test") == der(second))  # it was loaded again
        assert proxy.log.count("an instance is made") == made
        assert "x ends" not in proxy.log
        reload(proxy, SERVER, vault, "buffer_days = 3")
        proxy.wait_for_log("x ends")


def reload(proxy: Process, server: str, vault: Path, more: str = "") -> None:
    count = proxy.log.count("the configuration was reloaded")
    proxy.conf.write_text(server + table(vault, more))
    proxy.process.send_signal(signal.SIGHUP)
    until(lambda: proxy.log.count("the configuration was reloaded") > count)


def test_a_table_waits_for_its_certificate(tmp_path: Path, vault: Path) -> None:
    other = issue("other.test")
    with serving(tmp_path, table(vault) + other.toml("other")) as proxy:
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            shown(proxy, "x.test")
        issued = issue("anything.test")
        fill(vault, issued)
        toml = table(vault, "vault_wait = true") + other.toml("other", "is_default = true")
        proxy.conf.write_text(SERVER + toml)
        proxy.process.send_signal(signal.SIGHUP)
        # Its ``startup`` replaced the certificate before the table was served.
        until(lambda: refused_or(proxy) == der(issued))
        assert shown(proxy, "elsewhere.test") == der(other)


def refused_or(proxy: Process) -> bytes:
    try:
        return shown(proxy, "x.test")
    except ssl.SSLError:
        return b""


@pytest.mark.parametrize(
    ("bad", "more", "said"),
    [
        ("1", "", "p.toml:3: certificates.x.vault: Vault.load returned int, not a KeyPair"),
        ("Path(1)", "", "p.toml:3: certificates.x.vault: no certificate can be loaded: TypeError"),
        ("int('x')", "", "certificates.x.vault: invalid literal for int()"),
        ("KeyPair(b'', b'')", "", "certificates.x.vault: there is no certificate in it"),
        (
            "None",
            "vault_wait = 5",
            "p.toml:4: certificates.x.vault_wait: found 5 (integer), expected",
        ),
        ("None", "vualt = 5", "p.toml:4: certificates.x.vualt: unknown key"),
        ("None", "claimed = {}", "p.toml:4: certificates.x.claimed: unknown key"),
    ],
)
def test_mistakes(tmp_path: Path, vault: Path, bad: str, more: str, said: str) -> None:
    fill(vault, issue("x.test"))
    (vault / "bad").write_text(bad)
    code, text = check(tmp_path, table(vault, more))
    assert (code, said in text, text.endswith("1 problem.\n")) == (2, True, True), text


def test_a_certificate_that_is_not_there_yet_is_a_warning(tmp_path: Path, vault: Path) -> None:
    code, text = check(tmp_path, table(vault))
    assert code == 0
    assert "certificates.x: has no certificate yet: its names are unknown until" in text


def test_the_certificate_of_the_table_itself_comes_last(tmp_path: Path, vault: Path) -> None:
    static = issue("x.test")
    cert, key = static.write(tmp_path, "static")
    toml = table(vault, f'tls_cert = "{cert}"\ntls_key = "{key}"')
    with serving(tmp_path, toml) as proxy:
        assert shown(proxy, "x.test") == der(static)
    issued = issue("x.test")
    fill(vault, issued)
    with serving(tmp_path, toml) as proxy:
        assert shown(proxy, "x.test") == der(issued)


def test_a_distribution_may_replace_the_source_of_the_core(tmp_path: Path) -> None:
    points = dict.fromkeys(("certificates:tls_cert", "certificates:tls_key"), "my_static:Ours")
    toml = issue("x.test").toml("x")
    assert check(tmp_path, toml)[0] == 0
    write_distribution(tmp_path / "site", "my_static", STATIC, points)
    code, text = check(tmp_path, toml)
    assert code == 2
    assert "certificates.x.tls_cert: not from here" in text


def test_a_distribution_that_is_not_used_replaces_nothing(tmp_path: Path, vault: Path) -> None:
    write_distribution(tmp_path / "site", "my_static", STATIC, {"certificates:other": "my_static"})
    assert check(tmp_path, issue("x.test").toml("x"))[0] == 0


def test_the_schema_knows_the_keys_of_sources() -> None:
    properties = json_schema(installed_registry([]))[0]["$defs"]["certificates"]["properties"]
    assert "tls_cert" in properties
    assert "claimed" not in properties


def test_a_key_pair_does_not_show_its_key() -> None:
    assert repr(KeyPair(b"chain", b"secret")) == "KeyPair(chain=b'chain')"
