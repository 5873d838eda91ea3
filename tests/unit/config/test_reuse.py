"""Keys by which a new configuration takes over what is unchanged."""

import pytest

from pingap import Plugin
from pingap.config import parse
from pingap.config.reuse import claimed_digest, plugin_digest, upstream_digest

APP = """
[upstreams.app]
addrs = ["10.0.0.1:80"]
sni = "app"
upstream_ca = "ca.pem"
client_cert = "client.pem"
client_key = "file:client.key"
"""
GUARD = """
[plugins.guard]
category = "guard"
token = "file:token"
list = "list.txt"
since = 2020-01-01
"""
LOCAL = """
[plugins.local]
category = "python"
path = "local.py"
"""


class One(Plugin):
    category = "guard"


class Other(Plugin):
    category = "guard"


@pytest.fixture
def files(tmp_path):
    for name in ("ca.pem", "client.pem", "client.key", "token", "list.txt", "local.py"):
        (tmp_path / name).write_text("first")
    return tmp_path


def of_upstream(files, text=APP):
    return upstream_digest(parse(text, directory=files), "app")


def of_plugin(files, text=GUARD, cls=One):
    return plugin_digest(parse(text, directory=files), "guard", cls)


def of_local(files, text=LOCAL, cls=One):
    return plugin_digest(parse(text, directory=files), "local", cls)


def test_what_is_the_same_has_the_same_key(files):
    assert of_upstream(files) == of_upstream(files, f"# more\n{APP}remark = 'x'\n[basic]\n")
    assert of_plugin(files) == of_plugin(files, f"{GUARD}remark = 'x'\n{APP}")
    assert of_local(files) == of_local(files)
    assert of_upstream(files) != of_upstream(files, APP + "verify_cert = false")
    assert of_plugin(files) != of_plugin(files, GUARD + "more = 1")
    assert of_plugin(files) != of_plugin(files, GUARD + 'step = "x"')


def test_a_default_that_is_written_down_changes_nothing(files):
    assert of_upstream(files) == of_upstream(files, APP + "verify_cert = true")


@pytest.mark.parametrize("name", ["ca.pem", "client.pem", "client.key"])
def test_an_upstream_is_another_with_another_certificate(files, name):
    before = of_upstream(files)
    (files / name).write_text("first")
    assert of_upstream(files) == before
    (files / name).write_text("other")
    assert of_upstream(files) != before


@pytest.mark.parametrize("name", ["token", "list.txt"])
def test_a_plugin_is_another_with_another_file(files, name):
    before = of_plugin(files)
    (files / name).write_text("other")
    assert of_plugin(files) != before


def test_a_plugin_is_another_with_another_class(files):
    assert of_plugin(files) != of_plugin(files, cls=Other)


def test_a_local_plugin_is_known_by_its_file(files):
    """Its class is another one each time it is loaded."""
    before = of_local(files)
    assert of_local(files, cls=Other) == before
    (files / "local.py").write_text("other")
    assert of_local(files) != before
    (files / "local.py").unlink()
    assert of_local(files) != before


def test_a_large_file_is_not_read(files):
    (files / "list.txt").write_bytes(b"x" * (2 << 20))
    before = of_plugin(files)
    assert of_plugin(files) == before
    (files / "list.txt").write_bytes(b"y" * (3 << 20))
    assert of_plugin(files) != before


def test_names_belong_to_it(files):
    text = APP + APP.replace("app]", "twin]")
    config = parse(text, directory=files)
    assert upstream_digest(config, "app") != upstream_digest(config, "twin")


def test_keys_that_distributions_claim(files):
    def key(value, cls=One):
        text = f'{APP}[locations.all]\nupstream = "app"\nclaim = {value}'
        config = parse(text, directory=files, claims={"locations": {"claim": "x"}})
        return claimed_digest(config, "locations", "all", cls)

    assert key("1") == key("1")
    assert len({key("1"), key("true"), key('"1"'), key("1", Other)}) == 4
    assert key('1\nremark = "x"') == key("1")
    assert key("1\nweight = 3") != key("1")  # which the plugin may look at
    before = key('{ a = "file:token" }')
    (files / "token").write_text("other")
    assert key('{ a = "file:token" }') != before
