"""Which files a configuration depends on, besides its TOML files."""

import base64

import pytest

from pingap.config import SECTIONS, BasicConfig, Snapshot, parse
from pingap.config.file_values import LOCAL_CATEGORY, named_files, watched_files
from pingap.config.pem_values import PEM_KEYS, pem_path
from pingap.plugins import local as local_plugins

PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"


def watched(text, tmp_path):
    config = parse(text, directory=tmp_path)
    return [path.removeprefix(f"{tmp_path}/") for path in watched_files(config)]


def test_certificates_and_keys(tmp_path):
    (tmp_path / "secret.pem").write_text("x")
    text = """
    [upstreams.app]
    addrs = ["10.0.0.1"]
    sni = "app"
    upstream_ca = "ca.pem"
    client_cert = "client.pem"
    client_key = "/keys/client.pem"
    [certificates.a]
    tls_cert = "a.pem"
    tls_key = "file:secret.pem"
    [servers.main]
    addr = "127.0.0.1:0"
    global_certificates = true
    tls_verify_client = "require"
    tls_client_ca = "clients.pem"
    """
    assert watched(text, tmp_path) == [
        "/keys/client.pem",
        "a.pem",
        "ca.pem",
        "client.pem",
        "clients.pem",
        "secret.pem",
        "x",  # what the secret is, which may be a file again
    ]


def test_a_certificate_that_stands_in_the_text_is_no_file(tmp_path):
    encoded = base64.b64encode(PEM.encode()).decode()
    for value in (PEM, encoded, "", "a\0b", "x" * 5000, "~nobody-of-this-name/x"):
        assert pem_path(value, tmp_path) is None
    assert pem_path("a.pem", tmp_path) == tmp_path / "a.pem"


def test_secrets_of_files_anywhere(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("x")
    (tmp_path / "limits.toml").write_text("read_timeout = '1s'")
    text = """
    [storages.limits]
    category = "x"
    value = "file:limits.toml"
    [upstreams.app]
    addrs = ["10.0.0.1"]
    includes = ["limits"]
    [plugins.auth]
    category = "key_auth"
    keys = ["a", "file:token"]
    deeper = { still = [{ deeper = "file:other" }] }
    """
    assert watched(text, tmp_path) == ["limits.toml", "other", "token"]


def test_plugins_and_the_files_they_name(tmp_path):
    (tmp_path / "plugins").mkdir()
    for name in ("plugins/redirects.txt", "geo.db"):
        (tmp_path / name).write_text("x")
    text = """
    [plugins.redirects]
    category = "python"
    path = "plugins/redirects.py"
    file = "redirects.txt"
    [plugins.geo]
    category = "geo"
    databases = ["geo.db", "not-there.db"]
    directory = "plugins"
    """
    assert watched(text, tmp_path) == ["geo.db", "plugins/redirects.py", "plugins/redirects.txt"]


def test_the_category_is_that_of_local_plugins():
    assert LOCAL_CATEGORY == local_plugins.CATEGORY


def test_texts_that_cannot_be_loaded_name_files_too(tmp_path):
    text = '[plugins.a]\ncategory = "x"\nkey = "file:missing"\n[storages.b]\nvalue = "file:b"\n'
    snapshot = Snapshot(str(tmp_path), (("a.toml", text), ("b.toml", "broken [")))
    assert named_files(snapshot) == (f"{tmp_path}/b", f"{tmp_path}/missing")


@pytest.mark.parametrize("section", [*SECTIONS, "basic"])
def test_every_key_that_takes_pem_is_known(section):
    model = SECTIONS.get(section, BasicConfig)
    described = {
        key
        for key, field in model.model_fields.items()
        if field.description
        and ("PEM" in field.description or "a file, or base" in field.description)
    }
    assert described == set(PEM_KEYS.get(section, ()))
