"""The plugins of the page about certificates, in real proxies of two workers."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from docs.blocks import shown_file
from support.certificates import Issued, issue
from support.plugins import python_path, write_distribution
from support.process import Process
from support.tls import TlsClient, client_context
from support.waiting import until

SERVER = """
[basic]
threads = 2
[plugins.mock]
category = "mock"
[locations.all]
plugins = ["mock"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
global_certificates = true
"""


def shown(proxy: Process) -> bytes:
    with TlsClient(proxy, client_context(), "shop.example.com") as client:
        return client.peer


def der(issued: Issued) -> bytes:
    return issued.certificate.public_bytes(Encoding.DER)


def test_renewed_files_are_served(tmp_path: Path) -> None:
    (tmp_path / "renewed.py").write_text(
        shown_file("certificates-api.md", "plugins/renewed_files.py")
    )
    first, second = issue("shop.example.com"), issue("shop.example.com")
    chain, key = first.write(tmp_path, "shop")
    toml = f"""{SERVER}{first.toml("shop")}
[plugins.renewed]
category = "python"
path = "renewed.py"
certificate = "shop"
chain = "{chain}"
key = "{key}"
every = "20ms"
"""
    with Process(
        toml.replace('plugins = ["mock"]', 'plugins = ["renewed", "mock"]'), tmp_path
    ) as proxy:
        assert shown(proxy) == der(first)
        Path(chain).write_text(second.cert)
        proxy.wait_for_log("shop stays as it is: key: the key does not belong")
        Path(key).write_text(second.key)
        until(lambda: {shown(proxy) for _ in range(8)} == {der(second)})


def test_a_source_of_a_folder(tmp_path: Path) -> None:
    source = shown_file("certificates-api.md", "pingap_folder.py")
    points = {"certificates:folder": "pingap_folder:Folder"}
    write_distribution(tmp_path / "site", "pingap_folder", source, points)
    issued = issue("shop.example.com")
    folder = tmp_path / "issued" / "shop"
    folder.mkdir(parents=True)
    (folder / "chain.pem").write_text(issued.cert)
    (folder / "key.pem").write_text(issued.key)
    toml = f'{SERVER}[certificates.shop]\ndomains = "shop.example.com"\nfolder = "issued"\n'
    with Process(toml, tmp_path, env=python_path(tmp_path / "site")) as proxy:
        assert shown(proxy) == der(issued)
