"""The models: every key, their defaults, their JSON Schema; and a whole pingap directory."""

import pytest
from pydantic import ValidationError

from pingap.config import (
    SECTIONS,
    TEMPLATE,
    Backend,
    BasicConfig,
    LocationConfig,
    ServerConfig,
    TcpAddress,
    UnixAddress,
    UpstreamConfig,
    load,
    parse,
)

MODELS = {"basic": BasicConfig, **SECTIONS}

BASIC = """
[basic]
name = "edge"
error_template = "<p>{{content}}</p>"
threads = 1
max_connections = 1000
grace_period = "1m"
graceful_shutdown_timeout = "10s"
upstream_keepalive_pool_size = 64
trusted_proxies = ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "10.1.2.3/8"]
trusted_forwarding = "x-forwarded"
log_level = "INFO,pingap::proxy=debug,pingap::cache"
log_format_json = true
pid_file = "/run/pingap/pingap.pid"
error_log = "/var/log/pingap/error.log"
user = "pingap"
group = "www"
cpu_affinity = true
upgrade_sock = "/run/upgrade.sock"
worker_timeout = "20s"
"""

SERVERS = """
[servers.web]
addr = "0.0.0.0:80, [::]:80"
locations = ["shop", "rest"]
plugins = ["pingap:ping"]
access_log = "combined"
threads = 1
max_request_line = "4KiB"
max_header_size = 16384
max_headers = 50
path_matching = "normalised"
allow_in_paths = ["encoded_slash", "nul"]
forward_path = "normalised"
keep_shadowing_headers = true
head_read_timeout = "10s"
keepalive_timeout = "15s"
keepalive_requests = 10
enabled_h2 = true
modules = []
tunnel_idle_timeout = "10m"
pipeline_buffer_size = "1kb"
downstream_read_timeout = "5s"
downstream_write_timeout = "6s"
tcp_idle = "1m"
tcp_interval = "10s"
tcp_probe_count = 20
tcp_user_timeout = "30s"
tcp_fastopen = 10
backlog = 128
reuse_port = true
proxy_protocol = true
prometheus_metrics = "/metrics"
enable_server_timing = true
via = "edge-1"
global_certificates = true
tls_min_version = "TLS1.2"
tls_max_version = "tlsv1.3"
tls_cipher_list = "ECDHE-RSA-AES128-GCM-SHA256"
tls_ciphersuites = "TLS_AES_128_GCM_SHA256"
tls_verify_client = "optional"
tls_client_ca = "ca.pem"
tls_handshake_timeout = "5s"
tls_max_handshakes = 100
includes = ["limits"]
remark = "r"
"""

LOCATIONS = """
[locations.shop]
upstream = "pool"
path = "~^/shop/(?<id>\\\\d+)"
host = "shop.example.com, *.shop.example.com,~^(?<tenant>[a-z]+)\\\\.example\\\\.com$,[::1]"
match_headers = ["X-Beta: yes", "X-There"]
match_query = ["a:b"]
match_cookies = ["sid"]
weight = 65535
plugins = ["pingap:requestId", "pong"]
proxy_set_headers = ["Host: $host", "X-Empty:", "X-Id::connection_id"]
proxy_add_headers = ["X-A: b: c"]
enable_reverse_proxy_headers = true
proxy_remove_headers = ["Origin"]
host_header = "client"
client_body_timeout = "10s"
connection_timeout = "1s"
total_connection_timeout = "2s"
read_timeout = "20s"
write_timeout = "0"
client_max_body_size = "10MB"
max_processing = 100
max_retries = 255
max_retry_window = "3s"
retry_on = ["connect", "timeout", "reset", "503"]
retry_buffer_size = "1MiB"
plugin_timing = true
forwarded_header = true
match_methods = ["GET"]
match_ips = ["10.0.0.0/8"]
servers = ["web"]
includes = []
remark = "r"
[locations.rest]
"""

UPSTREAMS = """
[upstreams.pool]
addrs = ["10.0.0.1:8080 3", "app", "[fd00::1]:81", "unix:/run/app.sock 2"]
discovery = "static"
update_frequency = "30s"
dns_server = "10.0.0.53, fd00::53, [fd00::54]:5353,"
dns_domain = "internal.example.com"
dns_search = "example.com, example.net."
ipv4_only = true
algo = "sticky:backend"
sticky_secret = "0123456789abcdef"
panic_threshold = 50
slow_start = "30s"
sni = "app.example.com"
verify_cert = true
upstream_ca = "ca.pem"
client_cert = "us.pem"
client_key = "us.key"
connection_timeout = "1s"
total_connection_timeout = "2s"
read_timeout = "3s"
write_timeout = "4s"
idle_timeout = "5s"
tcp_idle = "6s"
tcp_interval = "7s"
tcp_probe_count = 16
tcp_user_timeout = "8s"
tcp_recv_buf = "64KiB"
tcp_fast_open = true
alpn = "h2h1"
max_h2_streams = 100
proxy_protocol = "v2"
retry_budget = 50
enable_tracer = true
enable_backend_stats = true
backend_stats_interval = "30s"
backend_failure_status_code = "500, 503"
circuit_break_max_consecutive_failures = 5
circuit_break_max_failure_percent = 50
circuit_break_min_requests_threshold = 20
circuit_break_half_open_consecutive_success_threshold = 3
circuit_break_open_duration = "20s"
health_check = "https://app.example.com/health?check_frequency=5s"
passive_failures = 5
passive_ejection_time = "1m"
passive_max_ejected_percent = 25
includes = []
remark = "r"
[upstreams.anywhere]
addrs = []
discovery = "transparent"
transparent_allow = ["*.example.com:443", "10.0.0.0/8", "[fd00::/8]:81"]
"""

CERTIFICATES = """
[certificates.shop]
domains = "shop.example.com, *.shop.example.com"
tls_cert = "shop.pem"
tls_key = "shop.key"
is_default = true
is_ca = false
buffer_days = 10
remark = "r"
"""

PLUGINS = '[plugins.pong]\ncategory = "ping"\nstep = "request"\nremark = "r"\npath = "/pong"\n'
STORAGES = (
    '[storages.limits]\ncategory = "config"\nremark = "r"\ncreated_at = 1700000000\n'
    "value = 'max_headers = 60'\n"
)


@pytest.fixture
def directory(tmp_path):
    for name, text in {
        "basic": BASIC,
        "servers": SERVERS,
        "locations": LOCATIONS,
        "upstreams": UPSTREAMS,
        "plugins": PLUGINS,
        "certificates": CERTIFICATES,
        "storages": STORAGES,
    }.items():
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path


def test_a_directory_with_every_supported_key_loads_without_warnings(directory):
    config = load(directory)
    assert config.warnings == []
    assert config.basic == BasicConfig(
        name="edge",
        error_template="<p>{{content}}</p>",
        max_connections=1000,
        grace_period="1m",
        graceful_shutdown_timeout="10s",
        upstream_keepalive_pool_size=64,
        trusted_proxies=["10.0.0.0/8", "192.0.2.1", "fd00::/8", "10.1.2.3/8"],
        trusted_forwarding="x-forwarded",
        log_level="INFO,pingap::proxy=debug,pingap::cache",
        upgrade_sock="/run/upgrade.sock",
        worker_timeout="20s",
        cpu_affinity=True,
        log_format_json=True,
        pid_file="/run/pingap/pingap.pid",
        error_log="/var/log/pingap/error.log",
        user="pingap",
        group="www",
    )
    server = config.servers["web"]
    assert server.max_headers == 60  # from the storage
    assert (server.max_request_line, server.max_header_size) == (4096, 16384)
    assert (server.keepalive_timeout, server.tcp_user_timeout) == (15.0, 30.0)
    assert (server.tls_min_version, server.tls_max_version) == ("tlsv1.2", "tlsv1.3")
    assert server.addresses == (
        TcpAddress("0.0.0.0", 80),
        TcpAddress("::", 80),
    )
    assert config.locations["rest"] == LocationConfig()
    assert config.locations["shop"].max_retry_window == 3.0
    assert config.locations["shop"].client_max_body_size == 10**7
    assert config.locations["shop"].retry_buffer_size == 1024 * 1024
    assert config.upstreams["pool"].failure_statuses == {500, 503}
    assert config.upstreams["anywhere"].failure_statuses == set(range(500, 600))
    assert config.upstreams["pool"].backends == (
        Backend(TcpAddress("10.0.0.1", 8080), 3),
        Backend(TcpAddress("app", 443), 1),
        Backend(TcpAddress("fd00::1", 81), 1),
        Backend(UnixAddress("/run/app.sock"), 2),
    )
    assert [str(one) for one in config.upstreams["pool"].name_servers] == [
        "10.0.0.53:53",
        "[fd00::53]:53",
        "[fd00::54]:5353",
    ]
    assert config.upstreams["pool"].search_domains == ("example.com", "example.net.")
    assert config.plugins["pong"].options == {"path": "/pong"}


def test_that_directory_uses_every_supported_key(directory):
    config = load(directory)
    used = {
        "basic": config.basic,
        "servers": config.servers["web"],
        "locations": config.locations["shop"],
        "upstreams": config.upstreams["pool"],
        "certificates": config.certificates["shop"],
    }
    for section, item in used.items():
        supported = {
            name
            for name, field in type(item).model_fields.items()
            if not {"not_yet", "no_effect"} & (field.json_schema_extra or {}).keys()
        }
        elsewhere = {"claimed", "transparent_allow", "internal"}
        assert supported - item.model_fields_set - elsewhere == set(), section
    assert "transparent_allow" in config.upstreams["anywhere"].model_fields_set


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        (
            "basic",
            "name error_template pid_file error_log upgrade_sock user group threads work_stealing"
            " listener_tasks_per_fd grace_period graceful_shutdown_timeout"
            " upstream_keepalive_pool_size trusted_proxies webhook webhook_type"
            " webhook_notifications log_level log_buffered_size log_format_json"
            " log_compress_algorithm log_compress_level log_compress_days_ago"
            " log_compress_time_point_hour sentry pyroscope auto_restart_check_interval"
            " max_connections cpu_affinity worker_timeout trusted_forwarding",
        ),
        (
            "servers",
            "path_matching allow_in_paths forward_path addr locations access_log threads global_certificates enabled_h2 tls_cipher_list"
            " tls_ciphersuites tls_min_version tls_max_version tcp_idle tcp_interval"
            " tcp_probe_count tcp_user_timeout tcp_fastopen reuse_port downstream_read_timeout"
            " downstream_write_timeout prometheus_metrics otlp_exporter modules"
            " enable_server_timing includes remark max_request_line max_header_size max_headers keep_shadowing_headers"
            " head_read_timeout keepalive_timeout keepalive_requests tunnel_idle_timeout"
            " pipeline_buffer_size tls_verify_client tls_client_ca tls_handshake_timeout"
            " tls_max_handshakes proxy_protocol backlog via plugins",
        ),
        (
            "locations",
            "upstream path host match_headers match_query match_cookies weight plugins"
            " proxy_set_headers proxy_add_headers enable_reverse_proxy_headers"
            " client_max_body_size max_processing max_retries max_retry_window retry_on retry_buffer_size plugin_timing forwarded_header match_methods match_ips servers includes remark"
            " proxy_remove_headers host_header client_body_timeout connection_timeout total_connection_timeout read_timeout write_timeout internal",
        ),
        (
            "upstreams",
            "addrs discovery update_frequency dns_server dns_domain dns_search ipv4_only algo sni"
            " sticky_secret panic_threshold slow_start"
            " verify_cert alpn max_h2_streams health_check connection_timeout"
            " total_connection_timeout read_timeout write_timeout idle_timeout tcp_idle"
            " tcp_interval tcp_probe_count tcp_user_timeout tcp_recv_buf tcp_fast_open"
            " enable_tracer enable_backend_stats backend_stats_interval"
            " backend_failure_status_code circuit_break_max_consecutive_failures"
            " circuit_break_max_failure_percent circuit_break_min_requests_threshold"
            " circuit_break_half_open_consecutive_success_threshold circuit_break_open_duration"
            " upstream_ca client_cert client_key proxy_protocol transparent_allow includes remark"
            " retry_budget"
            " passive_failures passive_ejection_time passive_max_ejected_percent",
        ),
        ("plugins", "category step fail_open timeout remark options"),
        (
            "certificates",
            "domains tls_cert tls_key is_default is_ca buffer_days remark",
        ),
        ("storages", "category value secret remark created_at"),
    ],
)
def test_the_keys_are_those_of_the_reference(section, keys):
    assert set(MODELS[section].model_fields) - {"claimed"} == set(keys.split())


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (BasicConfig, {"threads": 1, "grace_period": 300.0, "graceful_shutdown_timeout": 5.0}),
        (BasicConfig, {"upstream_keepalive_pool_size": 128, "max_connections": 16384}),
        (ServerConfig, {"max_request_line": 8192, "max_header_size": 65536, "max_headers": 256}),
        (ServerConfig, {"head_read_timeout": 60.0, "keepalive_timeout": 75.0}),
        (ServerConfig, {"keepalive_requests": 100_000, "pipeline_buffer_size": 65536}),
        (ServerConfig, {"downstream_read_timeout": 60.0, "downstream_write_timeout": 60.0}),
        (LocationConfig, {"upstream": "", "weight": None, "max_retries": None, "plugins": ()}),
        (UpstreamConfig, {"idle_timeout": 60.0, "read_timeout": None, "algo": "round_robin"}),
    ],
)
def test_defaults(model, values):
    fields = model.model_fields
    assert {name: fields[name].default for name in values} == values


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_every_key_has_a_description_and_the_schema_is_complete(model):
    schema = model.model_json_schema(mode="serialization")
    assert set(schema["properties"]) == set(model.model_fields)
    for name, described in schema["properties"].items():
        assert described["description"].endswith("."), name
    assert schema["additionalProperties"] is False


def test_the_schema_says_what_is_not_there_yet():
    properties = ServerConfig.model_json_schema()["properties"]
    assert properties["otlp_exporter"]["not_yet"] == "OpenTelemetry"
    assert "not_yet" not in properties["addr"]


def test_a_model_cannot_be_changed():
    server = ServerConfig(addr="a:1")
    with pytest.raises(ValidationError):
        server.addr = "b:1"


@pytest.mark.parametrize(
    "host",
    ["", "a.com", "*.a.com", "A.com, b.com,", r"~^[a-z]\.com$", "[::1]"],
)
def test_hosts_that_are_accepted(host):
    assert LocationConfig(host=host).host == host


@pytest.mark.parametrize("path", ["", "/", "= /a", "~ ^/a$", "/a(b", "=~("])
def test_paths_that_are_accepted(path):
    assert LocationConfig(path=path).path == path


@pytest.mark.parametrize(
    "level", ["", "info", "INFO", "off", "warn,a=debug", "a::b=trace, info", "a::b", "a[span]=info"]
)
def test_log_levels_that_are_accepted(level):
    assert BasicConfig(log_level=level).log_level == level


def test_the_default_port_of_a_tls_backend_is_443():
    assert UpstreamConfig(addrs=["a"], sni="a").backends == (Backend(TcpAddress("a", 443)),)


def test_the_starter_loads_without_problems_or_warnings():
    config = parse(TEMPLATE, "starter")
    assert config.warnings == []
    assert list(config.servers) == ["main"]
    assert config.locations["app"].plugins == ("pingap:requestId", "ping")
    assert config.upstreams["backend"].backends == (Backend(TcpAddress("127.0.0.1", 8080)),)


def test_the_starters_commented_keys_load_too():
    lines = [
        line.removeprefix("# ") if " = " in line and not line.startswith("# A ") else line
        for line in TEMPLATE.splitlines()
    ]
    config = parse("\n".join(lines), "starter")
    assert list(map(str, config.basic.trusted_proxies)) == ["10.0.0.0/8"]
    assert config.servers["main"].prometheus_metrics == "/metrics"
    assert config.locations["app"].host == "www.example.com, *.example.org"


def test_thresholds_of_zero_count_as_one():
    keys = (
        "circuit_break_min_requests_threshold",
        "circuit_break_half_open_consecutive_success_threshold",
    )
    lines = "\n".join(f"{key} = 0" for key in keys)
    upstream = parse(f'[upstreams.a]\naddrs = ["127.0.0.1:1"]\n{lines}').upstreams["a"]
    assert [getattr(upstream, key) for key in keys] == [1, 1]


@pytest.mark.parametrize(
    "text",
    ["1.2", "v1.2", "TLSv1.2", "TLSV1_2", "TLS 1.2", "tls1.2", "TLS1_2", "tls-1.2", "tlsv1.2"],
)
def test_versions_of_tls_in_other_spellings(text: str) -> None:
    config = parse(f'[servers.a]\naddr = "127.0.0.1:0"\ntls_min_version = "{text}"', "c")
    assert config.servers["a"].tls_min_version == "tlsv1.2"


def test_secrets_of_claimed_keys_are_not_shown():
    settings = MODELS["certificates"](claimed={"vault": "S3CRET"}, domains="a.test")
    assert "S3CRET" not in repr(settings)
    assert "S3CRET" not in repr(parse('[basic]\nname = "S3CRET"\n').source.documents)
