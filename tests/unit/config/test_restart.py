"""Which changes a running process can take over."""

import pytest

from pingap.config import BasicConfig, ServerConfig, parse
from pingap.config.restart import BASIC, SERVER, needs_restart

MAIN = '[servers.main]\naddr = "127.0.0.1:80, [::1]:80"\n'


def restarts(old, new):
    return needs_restart(parse(old), parse(new))


@pytest.mark.parametrize(("model", "table"), [(BasicConfig, BASIC), (ServerConfig, SERVER)])
def test_every_key_has_its_place(model, table):
    assert list(model.model_fields.keys() - table.keys() - {"claimed"}) == []
    assert list(table.keys() - model.model_fields.keys()) == []


def test_nothing_changed():
    assert restarts(MAIN, MAIN) == []


def test_servers_that_come_and_go_do_not_need_it():
    other = MAIN.replace("main", '"b.c"').replace(":80", ":81")
    assert restarts(MAIN, MAIN + other) == []
    assert restarts(MAIN + other, other) == []


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("threads = 2", "servers.main.threads"),
        ('path_matching = "raw"', None),
        ("reuse_port = true", None),
        ("tcp_fastopen = 5", None),
        ('access_log = "combined"', None),
        ("max_headers = 5", None),
        ('tls_min_version = "tlsv1.3"', None),
        ('prometheus_metrics = "/metrics"', None),
        ("reuse_port = false", None),  # the default, written down
    ],
)
def test_keys_of_servers(line, path):
    assert restarts(MAIN, MAIN + line) == ([path] if path else [])


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("threads = 2", "basic.threads"),
        ('user = "www"', "basic.user"),
        ('pid_file = "x.pid"', "basic.pid_file"),
        ('log_level = "debug"', None),
        ('trusted_proxies = ["10.0.0.1"]', None),
        ("max_connections = 5", None),
        ('error_template = "x"', None),
    ],
)
def test_keys_of_basic(line, path):
    assert restarts(MAIN, f"{MAIN}[basic]\n{line}") == ([path] if path else [])


def test_other_sections_never_need_it():
    new = """
    [upstreams.app]
    addrs = ["10.0.0.1:80"]
    [locations.all]
    upstream = "app"
    [plugins.p]
    category = "x"
    [storages.s]
    category = "x"
    value = "x"
    """
    assert restarts(MAIN, MAIN + new) == []
