"""What is refused and what is warned of, with the exact text and line."""

import pytest

from pingap.config import SECTIONS, BasicConfig, ConfigError, parse, supported
from pingap.config.distributions import needs

BASE = {
    "servers": 'addr = "127.0.0.1:80"',
    "upstreams": 'addrs = ["10.0.0.1"]',
    "plugins": 'category = "ping"',
    "storages": 'category = ""\nvalue = ""',
}


def problems(text):
    with pytest.raises(ConfigError) as caught:
        parse(text, "c")
    return str(caught.value).splitlines()[:-1]


def warnings(text):
    return [str(warning) for warning in parse(text, "c").warnings]


def table(section, line):
    """One item ``x`` with what it needs, and ``line`` on line 2."""
    return f"[{section}.x]\n{line}\n{BASE.get(section, '')}\n"


VALUES = ("-1", "1.5", "nan", "true", '""', '"~("', "[]", "[1]", '[""]', "[[]]", "{}", "{ a = 1 }",
          "1979-05-27", "07:32:00", '"\\u0000"', "[{ a = 1 }]", str(2**63))  # fmt: skip


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (section, key)
        for section, model in {"basic": BasicConfig, **SECTIONS}.items()
        for key in [*model.model_fields, "unknown"]
        if key not in ("claimed", "options")
    ],
)
def test_any_value_of_a_key_loads_or_is_a_problem_of_its_line(section, key):
    name = "[basic]" if section == "basic" else f"[{section}.x]"
    for value in VALUES:
        found = []
        try:
            parse(f"{name}\n{key} = {value}\n")
        except ConfigError as error:
            found = [problem for problem in error.problems if problem.line != 1]
        assert {problem.line for problem in found} <= {2}, value
        assert all(key in str(problem) for problem in found), value


def test_a_location_names_an_existing_upstream():
    assert problems(
        '[locations.a]\nupstream = "pol"\n' + table("upstreams", "").replace(".x", ".pool")
    ) == ['c:2: locations.a.upstream: no upstream block is named "pol"; did you mean "pool"?']


@pytest.mark.parametrize(
    ("upstream", "others"),
    [("", ""), ("$name", "path = '~^/(?<name>a)'"), ("$name", "host = '~^(?P<name>a)'")],
)
def test_a_location_may_have_no_upstream_or_a_captured_one(upstream, others):
    text = f'[locations.a]\nupstream = "{upstream}"\n{others}'
    assert parse(text).locations["a"].upstream == upstream


@pytest.mark.parametrize("upstream", ["$1", "$nam", "$"])
def test_an_upstream_can_only_be_a_named_group(upstream):
    text = f"[locations.a]\npath = '~^/(?<name>a)(b)'\nupstream = \"{upstream}\""
    assert problems(text) == [
        f'c:3: locations.a.upstream: "{upstream}" is not a named group of path, host or rewrite ($name);'
        " a group has a name if it is written (?<name>...)"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "pingap:mock?status=500",
            'there is no built-in plugin "pingap:mock?status=500": write a block of [plugins] with'
            ' category = "mock" and list its name',
        ),
        (
            "pingap:ping?path=/x",
            '"pingap:ping" takes no parameters: set them in a block of [plugins]',
        ),
        ("pingap:pong", 'there is no built-in plugin "pingap:pong"; did you mean "pingap:ping"?'),
    ],
)
def test_the_cure_for_a_built_in_plugin_that_does_not_exist(name, text):
    assert problems(f'[locations.a]\nplugins = ["{name}"]') == [
        f"c:2: locations.a.plugins[0]: {text}"
    ]


def test_a_server_names_existing_locations_even_if_there_are_none():
    assert problems(table("servers", 'locations = [\n"shop"]')) == [
        'c:3: servers.x.locations[0]: no location block is named "shop"'
    ]


def test_a_location_names_existing_plugins():
    text = '[locations.a]\nplugins = ["offce_only"]\n[plugins.office_only]\ncategory = "x"\n'
    assert problems(text) == [
        'c:2: locations.a.plugins[0]: no plugin block is named "offce_only"; did you mean "office_only"?'
    ]


def test_built_in_plugins_need_no_block():
    names = ("pingap:ping", "pingap:stats", "pingap:requestId")
    listed = ", ".join(f'"{name}"' for name in names)
    assert parse(f"[locations.a]\nplugins = [{listed}]").locations["a"].plugins == names


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("pingap:compression", "pingap-compression"),
        ("pingap:compressionUpstream", "pingap-compression"),
        ("pingap:acceptEncodingAdjustment", "pingap-compression"),
        ("pingap:admin", "pingap-admin"),
    ],
)
def test_built_in_plugins_of_other_distributions_are_named(name, distribution):
    assert problems(f'[locations.a]\nplugins = ["{name}"]') == [
        f"c:2: locations.a.plugins[0]: {needs(distribution)}"
    ]


@pytest.mark.parametrize("name", ["pingap:ping", "pingap:compression"])
def test_a_block_cannot_take_the_name_of_a_built_in_plugin(name):
    assert problems(f'[plugins."{name}"]\ncategory = "ping"') == [
        f'c:1: plugins."{name}": this name belongs to a built-in plugin'
    ]


def test_references_are_checked_although_the_table_has_other_mistakes():
    assert problems('[locations.a]\nupstream = "u"\nweight = "x"\nnme = 1') == [
        'c:2: locations.a.upstream: no upstream block is named "u"',
        'c:3: locations.a.weight: found "x" (string), expected an integer',
        "c:4: locations.a.nme: unknown key",
    ]


def test_an_item_that_does_not_fit_still_exists():
    text = '[locations.a]\nupstream = "u"\n[upstreams.u]\naddrs = 1\n'
    assert problems(text) == ["c:4: upstreams.u.addrs: found 1 (integer), expected an array"]


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("0.0.0.0:80", "0.0.0.0:80", "0.0.0.0:80"),
        ("[::]:80", "a:1, [0::0]:80", "[0::0]:80"),
        ("localhost:80", "LocalHost:80", "LocalHost:80"),
        ("unix:/run/a", "unix:/run/a", "unix:/run/a"),
    ],
)
def test_two_servers_cannot_have_one_address(first, second, shown):
    text = f'[servers.a]\naddr = "{first}"\n[servers."b.c"]\naddr = "{second}"\n'
    assert problems(text) == [
        f'c:4: servers."b.c".addr: "{shown}" is already used by servers.a (c:2)'
    ]


def test_one_server_cannot_have_an_address_twice():
    assert problems('[servers.a]\naddr = "a:1,a:1"') == [
        'c:2: servers.a.addr: "a:1" is already used twice in this key'
    ]


def test_free_ports_are_never_the_same():
    assert len(parse('[servers.a]\naddr = "a:0,a:0"').servers["a"].addresses) == 2


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0:80", "the unspecified"),
        ("[::]:80", "the unspecified"),
        ("255.255.255.255:80", "the broadcast"),
        ("224.0.0.1", "a multicast"),
        ("[ff02::1]:80", "a multicast"),
        ("169.254.0.1:80 2", "a link-local"),
        ("[fe80::1]:80", "a link-local"),
    ],
)
def test_addresses_that_cannot_be_backends_are_refused(address, kind):
    assert problems(f'[upstreams.a]\naddrs = [\n"10.0.0.1",\n"{address}"]') == [
        f'c:4: upstreams.a.addrs[1]: "{address}" cannot be a backend: it is {kind} address'
    ]


def test_an_upstream_needs_addresses():
    expected = 'expected addresses such as ["10.0.0.1:8080"]'
    assert problems("[upstreams.a]\naddrs = []") == [
        f"c:2: upstreams.a.addrs: found an empty array, {expected}"
    ]
    assert problems("[upstreams.a]") == ["c:1: upstreams.a.addrs: this key is required"]


def test_somebody_has_a_weight():
    assert problems('[upstreams.a]\naddrs = ["a:80 0", "b 0 backup"]\ndiscovery = "static"') == [
        "c:2: upstreams.a.addrs: found only weights of 0, expected a backend that gets requests"
    ]
    assert warnings('[upstreams.a]\naddrs = ["a:80 0", "b"]\ndiscovery = "static"') == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('trusted_proxies = ["10.0.0.0/33"]', 'trusted_proxies[0]: "10.0.0.0/33" is not an IP address or network'),
        ('trusted_proxies = ["a"]', 'trusted_proxies[0]: "a" is not an IP address or network'),
        ('log_level = "inof"', 'log_level: found "inof", expected one of error, warn, info, debug, trace, off; did you mean "info"?'),
        ('log_level = "info,a=loud"', 'log_level: found "loud", expected one of error, warn, info, debug, trace, off'),
        ('log_level = "=info"', 'log_level: "=info" is not a directive such as "pingap=debug"'),
        ("threads = -1", "threads: found -1 (integer), expected at least 0"),
        ("max_connections = 0", "max_connections: found 0 (integer), expected at least 1"),
        ("grace_period = 300", 'grace_period: found 300 (integer), expected a duration such as "30s": write "300s"'),
        ("log_compress_time_point_hour = 24", "log_compress_time_point_hour: found 24 (integer), expected at most 23"),
        ("treads = 1", 'treads: unknown key; did you mean "threads"?'),
    ],
)  # fmt: skip
def test_basic_is_checked(line, message):
    assert problems(f"[basic]\n{line}\n") == [f"c:2: basic.{message}"]


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        ("servers", 'tls_min_version = "2"', 'tls_min_version: found "2", expected one of tlsv1.1, tlsv1.2, tlsv1.3'),
        ("servers", 'tls_min_version = "1.0"', 'tls_min_version: found "1.0", expected one of tlsv1.1, tlsv1.2, tlsv1.3'),
        ("servers", 'tls_cert = "a.pem"', "tls_cert: unknown key; certificates are written as [certificates.NAME] with tls_cert and tls_key, and served by servers with global_certificates = true"),
        ("servers", 'tls_min_version = "tlsv13"', 'tls_min_version: found "tlsv13", expected one of tlsv1.1, tlsv1.2, tlsv1.3; did you mean "tlsv1.3"?'),
        ("servers", 'prometheus_metrics = "metrics"', 'prometheus_metrics: found "metrics", expected a path such as "/metrics"'),
        ("servers", 'prometheus_metrics = "http://a/b"', "prometheus_metrics: not supported yet (pushing metrics)"),
        ("servers", "keepalive_timeout = 75", 'keepalive_timeout: found 75 (integer), expected a duration such as "30s": write "75s"'),
        ("servers", 'max_header_size = "32kbit"', 'max_header_size: found "32kbit", expected a size such as "16MiB" or a number of bytes: unknown unit "kbit"'),
        ("servers", "tcp_fastopen = true", "tcp_fastopen: found true (boolean), expected an integer"),
        ("servers", "location = []", 'location: unknown key; did you mean "locations"?'),
        ("locations", "weight = 65536", "weight: found 65536 (integer), expected at most 65535"),
        ("locations", "max_retries = 256", "max_retries: found 256 (integer), expected at most 255"),
        ("locations", "client_max_body_size = -1", 'client_max_body_size: found -1, expected a size such as "16MiB" or a number of bytes: it cannot be negative'),
        ("locations", 'path = "~^/(a"', 'path: "^/(a" is not a regular expression: missing ), unterminated subpattern at character 3'),
        ("locations", 'host = "a.com, ~[a"', 'host: "[a" is not a regular expression: unterminated character set at character 1 (a comma separates hosts)'),
        ("locations", 'host = "*."', 'host: found "*.", expected a host such as "*.example.com"'),
        ("locations", 'host = "*.*.com"', 'host: found "*.*.com", expected a host such as "*.example.com"'),
        ("locations", 'host = "a.*.com"', 'host: found "a.*.com", expected a host such as "*.example.com"'),
        ("locations", 'host = "a.com:80"', 'host: found "a.com:80", expected a host name without scheme, port and path'),
        ("locations", 'match_headers = ["a b:c"]', 'match_headers[0]: "a b" is not a header name'),
        ("locations", 'match_query = ["a", ":b"]', 'match_query[1]: found ":b", expected a condition such as "name:value" or "name"'),
        ("locations", 'match_cookies = [":"]', 'match_cookies[0]: found ":", expected a condition such as "name:value" or "name"'),
        ("locations", 'host = "*"', 'host: found "*"; to match every host, omit the key'),
        ("locations", 'host = "bücher.example"', 'host: found "bücher.example", expected the name as it is sent: xn--bcher-kva.example'),
        ("locations", 'host = "a..b"', 'host: "a..b" is not a host name'),
        ("locations", 'host = "[::g]"', 'host: "[::g]" is not a host name'),
        ("locations", 'proxy_set_headers = ["X-A"]', 'proxy_set_headers[0]: found "X-A", expected a header such as "X-Name: value"'),
        ("locations", 'proxy_add_headers = ["X A: b"]', 'proxy_add_headers[0]: "X A" is not a header name'),
        ("locations", 'proxy_add_headers = ["X-A: b\\nX-B: c"]', "proxy_add_headers[0]: the value of the header X-A may only hold printable ASCII characters"),
        ("locations", "claimed = {}", "claimed: unknown key"),
        ("upstreams", "panic_threshold = 101", "panic_threshold: found 101 (integer), expected at most 100"),
        ("upstreams", 'slow_start = "often"', 'slow_start: found "often", expected a duration such as "30s"'),
        ("upstreams", 'dns_server = "10.0.0.53:53,ns1"', 'dns_server: found "ns1", expected IP addresses such as "10.0.0.53" or "10.0.0.53:5353, [fd00::53]:53"'),
        ("upstreams", 'dns_server = "10.0.0.53:0"', 'dns_server: found "10.0.0.53:0", expected IP addresses such as "10.0.0.53" or "10.0.0.53:5353, [fd00::53]:53"'),
        ("upstreams", 'dns_domain = "a..b"', 'dns_domain: found "a..b", expected a domain such as example.com'),
        ("upstreams", 'dns_search = "a.example, b c"', 'dns_search: found "b c", expected a domain such as example.com'),
        ("upstreams", 'alpn = "H3"', 'alpn: found "H3", expected one of H1, H2, H2H1'),
        ("upstreams", "max_h2_streams = 0", "max_h2_streams: found 0 (integer), expected at least 1"),
        ("upstreams", "tcp_probe_count = 17", "tcp_probe_count: found 17 (integer), expected at most 16"),
        ("certificates", "tls_key = 1", "tls_key: expected a string"),
        ("storages", "secret = 2", "secret: expected a string"),
    ],
)  # fmt: skip
def test_items_are_checked(section, line, message):
    assert problems(table(section, line)) == [f"c:2: {section}.x.{message}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[servers.x]", "c:1: servers.x.addr: this key is required"),
        ("[plugins.x]", "c:1: plugins.x.category: this key is required"),
        ("[plugins.x]\ncategory = ''", 'c:2: plugins.x.category: found "" (string), expected at least 1 character'),
        ("[storages.x]\ncategory = ''", "c:1: storages.x.value: this key is required"),
        ("[storages.x]\nvalue = ''", "c:1: storages.x.category: this key is required"),
        ("[servers.x]\naddr = '80'", 'c:2: servers.x.addr: found "80", expected an address such as "0.0.0.0:80", "[::]:80" or "unix:/run/pingap.sock"'),
    ],
)  # fmt: skip
def test_required_keys_are_required(text, message):
    assert problems(text) == [message]


@pytest.mark.parametrize(
    ("section", "line", "what"),
    [
        ("basic", 'webhook = "https://a/b"', "webhooks"),
        ("basic", 'webhook_type = "wecom"', "webhooks"),
        ("basic", 'webhook_notifications = ["a"]', "webhooks"),
        ("basic", 'log_compress_algorithm = "gzip"', "compression of old log files"),
        ("basic", "log_compress_level = 3", "compression of old log files"),
        ("basic", "log_compress_days_ago = 3", "compression of old log files"),
        ("basic", "log_compress_time_point_hour = 3", "compression of old log files"),
        ("basic", 'sentry = "https://a"', "reporting to Sentry"),
        ("basic", 'pyroscope = "https://a"', "profiling with Pyroscope"),
        ("servers", 'otlp_exporter = "http://a"', "OpenTelemetry"),
    ],
)  # fmt: skip
def test_what_is_not_there_yet_is_a_problem(section, line, what):
    key = line.split(" ")[0]
    path, text = (
        (f"basic.{key}", f"[basic]\n{line}")
        if section == "basic"
        else (f"{section}.x.{key}", table(section, line))
    )
    assert problems(text) == [f"c:2: {path}: not supported yet ({what})"]


def test_every_key_that_is_not_there_yet_is_tested():
    rows = next(
        mark.args[1]
        for mark in test_what_is_not_there_yet_is_a_problem.pytestmark
        if mark.name == "parametrize"
    )
    marked = {
        (section, name)
        for section, model in {"basic": BasicConfig, **SECTIONS}.items()
        for name, field in model.model_fields.items()
        if "not_yet" in (field.json_schema_extra or {})
    }
    assert {(section, line.split(" ")[0]) for section, line, _ in rows} == marked


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("servers", "global_certificates = false"),
        ("servers", "enabled_h2 = false"),
        ("servers", "enabled_h2 = true"),
        ("servers", "modules = []"),
        ("servers", 'prometheus_metrics = ""'),
        ("upstreams", 'discovery = "static"'),
        ("upstreams", 'discovery = ""'),
        ("upstreams", 'algo = "round_robin"'),
        ("upstreams", 'algo = ""'),
        ("upstreams", "verify_cert = true"),
        ("upstreams", 'sni = ""'),
        ("upstreams", 'backend_stats_interval = "60s"'),
        ("upstreams", "circuit_break_max_failure_percent = 0"),
        ("locations", "grpc_web = false"),
        ("locations", 'rewrite = ""'),
        ("storages", 'secret = ""'),
    ],
)
def test_values_that_mean_the_same_as_no_key_are_accepted(section, line):
    assert warnings(table(section, line)) == []


SAMPLE = "has no effect, nor in pingap 0.13.9: the cache plugin has its own setting"
ENGINE = "has no effect: it tunes pingap's Rust engine"
KEEPALIVE = "has no effect: TCP keepalive needs tcp_idle, tcp_interval and tcp_probe_count, and"


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        ("basic", "work_stealing = false", f"work_stealing: {ENGINE}"),
        ("basic", "listener_tasks_per_fd = 2", f"listener_tasks_per_fd: {ENGINE}"),
        ("basic", 'auto_restart_check_interval = "1m"', "auto_restart_check_interval: has no effect: the files are checked twice a second, and changes are applied once the files are stable"),
        ("basic", 'log_buffered_size = "8kb"', "log_buffered_size: has no effect: the log is always written in batches"),
        ("basic", 'cache_directory = "/a"', f"cache_directory: {SAMPLE}"),
        ("basic", 'cache_max_size = "1g"', f"cache_max_size: {SAMPLE}"),
        ("servers", "tcp_fast_open = 10", "tcp_fast_open: has no effect, nor in pingap 0.13.9: the key is tcp_fastopen"),
        ("servers", 'tcp_idle = "1m"', f"tcp_idle: {KEEPALIVE} tcp_interval and tcp_probe_count are missing"),
        ("upstreams", 'tcp_interval = "1m"\ntcp_idle = "1m"', f"tcp_idle: {KEEPALIVE} tcp_probe_count is missing"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_a_warning(section, line, message):
    path, text = (
        ("basic", f"[basic]\n{line}")
        if section == "basic"
        else (f"{section}.x", table(section, line))
    )
    number = 3 if "\n" in line else 2
    assert warnings(text) == [f"c:{number}: {path}.{message}"]


def test_cpu_affinity_is_a_warning_where_the_system_lacks_it(monkeypatch):
    assert warnings("[basic]\ncpu_affinity = true") == []
    monkeypatch.setattr(supported, "_HAS_AFFINITY", False)
    (warning,) = warnings("[basic]\ncpu_affinity = true")
    assert warning == "c:2: basic.cpu_affinity: has no effect: this system cannot do it"


@pytest.mark.parametrize(
    "lines",
    [
        'tcp_idle = "1m"\ntcp_interval = "1s"\ntcp_probe_count = 3',
        'tcp_user_timeout = "1m"',
        'tcp_user_timeout = "1m"\ntcp_idle = "1s"',
    ],
)
def test_keepalive_that_takes_effect_is_no_warning(lines):
    assert warnings(table("servers", lines)) == []


TLS = "global_certificates = true\n"


@pytest.mark.parametrize(
    ("section", "lines", "told"),
    [
        ("servers", TLS, ["2: servers.x.global_certificates: there is no block in [certificates]"]),
        (
            "servers",
            'tls_verify_client = "require"\n',
            [
                "2: servers.x.tls_verify_client: needs tls_client_ca, the authorities to trust",
                "2: servers.x.tls_verify_client: needs global_certificates = true: without TLS no"
                " client is verified",
            ],
        ),
        (
            "servers",
            TLS + 'tls_client_ca = "ca.pem"\n',
            [
                "3: servers.x.tls_client_ca: has no effect: tls_verify_client must be"
                ' "optional" or "require"'
            ],
        ),
        (
            "servers",
            'tls_verify_client = "required"',
            [
                '2: servers.x.tls_verify_client: found "required", expected one of off, optional,'
                ' require; did you mean "require"?'
            ],
        ),
        (
            "upstreams",
            'upstream_ca = "a"\nclient_cert = "b"',
            [
                "2: upstreams.x.upstream_ca: needs sni: without it, connections to the backends"
                " do not use TLS",
                "3: upstreams.x.client_cert: needs sni: without it, connections to the backends"
                " do not use TLS",
                "3: upstreams.x.client_cert: needs client_key beside it",
            ],
        ),
        (
            "upstreams",
            'sni = "a"\nclient_key = "b"',
            ["3: upstreams.x.client_key: needs client_cert beside it"],
        ),
        (
            "upstreams",
            'sni = "$host"',
            ['2: upstreams.x.sni: "$host" needs discovery = "transparent"'],
        ),
    ],
)
def test_tls_keys_that_need_each_other(section, lines, told):
    certificate = "" if lines == TLS else "[certificates.c]\n"
    text = f"{table(section, lines.strip())}\n{certificate}"
    assert [one.removeprefix("c:") for one in problems(text)] == told


def test_tls_keys_without_tls_are_a_warning():
    assert warnings(table("servers", 'tls_min_version = "tls1.3"')) == [
        "c:2: servers.x.tls_min_version: has no effect without global_certificates = true"
    ]


@pytest.mark.parametrize(
    ("line", "distribution"),
    [
        ('rewrite = "^/a /b"', "pingap-rewrite"),
        ("grpc_web = true", "pingap-grpc-web"),
    ],
)
def test_a_key_of_a_missing_distribution_says_what_to_install(line, distribution):
    key = line.split(" ")[0]
    assert problems(table("locations", line)) == [f"c:2: locations.x.{key}: {needs(distribution)}"]


def test_a_module_needs_the_distribution_of_its_key():
    text = table("servers", 'modules = ["grpc-web"]')
    assert problems(text) == [
        "c:2: servers.x.modules[0]: needs the distribution pingap-grpc-web, which is part of this"
        " release: install it, too"
    ]
    keys = {"grpc_web": "pingap-grpc-web"}
    assert parse(text, claims={"locations": keys}).servers["x"].modules == ("grpc-web",)


def test_an_unknown_module_is_told():
    text = table("servers", 'modules = ["grpc-wep", "zip"]')
    assert problems(text) == [
        'c:2: servers.x.modules[0]: found "grpc-wep", expected "grpc-web"; did you mean "grpc-web"?',
        'c:2: servers.x.modules[1]: found "zip", expected "grpc-web"',
    ]


def test_claimed_keys_are_passed_on_unchecked():
    text = table("locations", 'rewrite = ["anything"]\nmirror = { to = "x" }\nweight = 1')
    keys = {"rewrite": "pingap-rewrite", "mirror": "acme-mirror"}
    location = parse(text, claims={"locations": keys}).locations["x"]
    assert location.claimed == {"rewrite": ["anything"], "mirror": {"to": "x"}}
    assert location.weight == 1


def test_keys_of_certificates_that_need_a_distribution():
    text = table("certificates", 'acme = "lets_encrypt"\ndns_challenge = false')
    with pytest.raises(ConfigError) as caught:
        parse(text)
    (problem,) = caught.value.problems
    assert (problem.path[-1], problem.message) == ("acme", needs("pingap-acme"))


def test_a_key_of_the_core_cannot_be_claimed():
    claims = {"locations": {"weight": "x"}}
    location = parse(table("locations", "weight = 1"), claims=claims).locations["x"]
    assert (location.weight, location.claimed) == (1, {})


CLAIMING = ("basic", "servers", "locations", "upstreams", "certificates")


@pytest.mark.parametrize("section", CLAIMING)
def test_each_section_has_claimed_keys_of_its_own(section):
    name = f"[{section}]" if section == "basic" else f"[{section}.x]"
    line = {"servers": 'addr = "127.0.0.1:1"', "upstreams": 'addrs = ["127.0.0.1:2"]'}
    text = f"{name}\nmine = [1]\n{line.get(section, '')}\n"
    config = parse(text, claims={section: {"mine": "acme"}})
    table = config.basic if section == "basic" else getattr(config, section)["x"]
    assert table.claimed == {"mine": [1]}
    others = {one: {"mine": "acme"} for one in CLAIMING if one != section}
    with pytest.raises(ConfigError) as caught:
        parse(text, claims=others)
    (problem,) = caught.value.problems
    assert (problem.path[-1], problem.line) == ("mine", 2)
    assert problem.message.startswith("unknown key")


def test_a_key_that_this_version_does_not_honour_can_be_claimed():
    text = table("servers", 'otlp_exporter = "http://x"')
    assert "not supported yet" in problems(text)[0]
    server = parse(text, claims={"servers": {"otlp_exporter": "x"}}).servers["x"]
    assert server.claimed == {"otlp_exporter": "http://x"}
    assert server.otlp_exporter == ""


def test_an_empty_text_means_that_a_claimed_key_is_absent():
    text = table("locations", 'mirror = ""')
    assert parse(text, claims={"locations": {"mirror": "x"}}).locations["x"].claimed == {}


def test_plugin_options_are_passed_on_unchecked():
    text = (
        '[plugins.x]\ncategory = "mock"\nstep = "request"\nremark = "r"\noptions = 1\nstatus = 3\n'
    )
    plugin = parse(text).plugins["x"]
    assert (plugin.category, plugin.step, plugin.remark) == ("mock", "request", "r")
    assert plugin.options == {"options": 1, "status": 3}


def test_secrets_do_not_show_in_a_repr():
    config = parse(
        '[certificates.c]\ntls_key = "hush"\n[storages.s]\ncategory = ""\nvalue = "hush"'
    )
    assert "hush" not in repr(config.certificates) + repr(config.storages) + repr(config)
    assert config.storages["s"].value.get_secret_value() == "hush"


TRUSTED = '[basic]\ntrusted_proxies = ["10.0.0.0/8"]\n'


def test_the_proxy_protocol_needs_somebody_to_be_believed():
    text = table("servers", "proxy_protocol = true")
    assert problems(text) == [
        "c:2: servers.x.proxy_protocol: needs basic.trusted_proxies: the addresses whose PROXY"
        " headers are trusted"
    ]
    assert warnings(text + TRUSTED) == []
    assert problems(text.replace("127.0.0.1:80", "unix:/run/a.sock") + TRUSTED) == [
        "c:2: servers.x.proxy_protocol: a Unix socket cannot have it: its peers have no address"
        " that could be trusted"
    ]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            'discovery = "transparent"',
            [
                "2: upstreams.x.discovery: needs transparent_allow, the hosts that clients may"
                " reach: without it this would be an open proxy"
            ],
        ),
        ('discovery = "transparent"\ntransparent_allow = ["a.com"]', []),
        (
            'transparent_allow = ["a.com"]',
            ['2: upstreams.x.transparent_allow: needs discovery = "transparent"'],
        ),
        (
            'discovery = "transparent"\ntransparent_allow = ["a.com", "*"]',
            [
                '3: upstreams.x.transparent_allow[1]: found "*", expected a host such as'
                ' "api.example.com", "*.example.com:443", "10.0.0.0/8" or "[fd00::/8]:8080"'
            ],
        ),
        (
            'sni = "$name"',
            ['2: upstreams.x.sni: found "$name", expected a name or "$host"'],
        ),
        ('discovery = "transparent"\ntransparent_allow = ["a.com"]\nsni = "$host"', []),
    ],
)
def test_transparent_upstreams(lines, told):
    text = table("upstreams", lines)
    if not told:
        assert warnings(text) == []
        return
    assert [one.removeprefix("c:") for one in problems(text)] == told


def test_a_transparent_upstream_needs_no_addresses():
    allow = 'transparent_allow = ["a.com"]\ndiscovery = "transparent"'
    assert warnings(f"[upstreams.x]\naddrs = []\n{allow}\n") == []


@pytest.mark.parametrize("word", ["dns", "docker"])
def test_only_the_discovery_knows_what_its_addresses_look_like(word):
    assert warnings(f'[upstreams.x]\naddrs = ["com.example/app=web"]\ndiscovery = "{word}"') == []
    assert problems(f'[upstreams.x]\naddrs = []\ndiscovery = "{word}"') == [
        'c:2: upstreams.x.addrs: found an empty array, expected addresses such as ["10.0.0.1:8080"]'
    ]


EXPECTED_RETRY = "expected connect, timeout, reset or a status, 400 to 599"


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        ("upstreams", 'backend_failure_status_code = "500,50x"', 'backend_failure_status_code: found "50x", expected a status, 100 to 599'),
        ("upstreams", 'backend_failure_status_code = "600"', 'backend_failure_status_code: found "600", expected a status, 100 to 599'),
        ("upstreams", 'backend_stats_interval = "0s"', "backend_stats_interval: expected a duration above 0"),
        ("upstreams", 'circuit_break_open_duration = "0s"', "circuit_break_open_duration: expected a duration above 0"),
        ("locations", 'retry_on = ["conect"]', f'retry_on[0]: found "conect", {EXPECTED_RETRY}; did you mean "connect"?'),
        ("locations", 'retry_on = ["reset", "50"]', f'retry_on[1]: found "50", {EXPECTED_RETRY}'),
        ("locations", 'retry_on = ["302"]', f'retry_on[0]: found "302", {EXPECTED_RETRY}'),
    ],
)  # fmt: skip
def test_statuses_words_and_durations_of_upstream_failures(section, line, message):
    assert problems(table(section, line)) == [f"c:2: {section}.x.{message}"]


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        ("locations", 'retry_on = ["503"]', "retry_on: has no effect without max_retries"),
        ("locations", 'retry_buffer_size = "1k"', "retry_buffer_size: has no effect without max_retries"),
    ],
)  # fmt: skip
def test_keys_of_retries_without_retries(section, line, message):
    assert warnings(table(section, line)) == [f"c:2: {section}.x.{message}"]


def test_a_transparent_upstream_has_no_circuit_breaker():
    text = 'discovery = "transparent"\ntransparent_allow = ["a"]\ncircuit_break_max_failure_percent = 5'
    assert warnings("[upstreams.x]\naddrs = []\n" + text) == [
        "c:5: upstreams.x.circuit_break_max_failure_percent: has no effect:"
        " the backends of a transparent upstream are not known"
    ]


def test_keys_with_two_names() -> None:
    text = """
[upstreams.app]
addrs = ["127.0.0.1:1"]
[locations.all]
upstream = "app"
max_body = "1kb"
send_timeout = {value}
{more}
"""
    location = parse(text.format(value='"5s"', more="")).locations["all"]
    assert (location.client_max_body_size, location.write_timeout) == (1000, 5.0)
    [wrong] = problems(text.format(value="5", more=""))
    assert wrong.startswith(":7: locations.all.write_timeout: ") or ":7: " in wrong
    [twice] = problems(text.format(value='"5s"', more='write_timeout = "6s"'))
    assert (
        "locations.all.send_timeout: is another name of write_timeout, which is set as well"
        in twice
    )
    [unknown] = problems(text.format(value='"5s"', more='read_timout = "6s"'))
    assert 'did you mean "read_timeout"' in unknown
