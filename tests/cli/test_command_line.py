"""The command: flags, variables, exit codes, and what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tomli
from support.command import invoke, run
from support.process import Process

from pingap import __version__
from pingap.config.files import FILE_LIMIT
from pingap.testing import Client, Upstream

VALID = """
[plugins.hello]
category = "mock"
data = "hello"
[locations.all]
plugins = ["hello"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""
VALID_TEXT = "The configuration is valid.\n"
BROKEN = """
[locations.all]
upstream = "nowhere"
[servers.web]
adr = "127.0.0.1:0"
locations = ["all"]
[servers.other]
addr = "127.0.0.1:0"
locations = ["al"]
"""


def examined(*arguments: object) -> tuple[int, str, str]:
    """Check a configuration here, or start it in a process of its own."""
    return (invoke if "-t" in arguments else run)(*arguments)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "valid.toml"
    path.write_text(VALID)
    return path


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag: str) -> None:
    assert run(flag) == (0, f"pingap {__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_what_works(flag: str) -> None:
    code, out, err = invoke(flag)
    assert (code, err) == (0, "")
    assert "explain" in out
    for option in ("--conf", "--upstream", "--test", "--log", "--threads", "--template", "--cert"):
        assert option in out
    for option in ("--admin", "--cp", "--sync", "--to-hcl", "--to-kdl"):
        assert option not in out


@pytest.mark.parametrize(
    "arguments", [["--template"], ["-t", "--template"], ["--nonsense", "--template", "-c"]]
)
def test_template_anywhere_prints_a_configuration_that_loads(
    tmp_path: Path, arguments: list[str]
) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert set(tomli.loads(out)) >= {"basic", "servers", "locations", "upstreams"}
    (tmp_path / "pingap.toml").write_text(out)
    assert invoke("-t", "-c", tmp_path / "pingap.toml") == (0, VALID_TEXT, "")


def test_template_must_be_an_argument_of_its_own(conf: Path) -> None:
    code, out, _ = invoke("-c", conf, "--template=yes")
    assert (code, out) == (2, "")


def test_check_of_a_valid_configuration(conf: Path) -> None:
    assert run("-t", "-c", conf) == (0, VALID_TEXT, "")
    assert invoke("--test", "--conf", conf.parent) == (0, VALID_TEXT, "")


@pytest.mark.parametrize("flags", [["-t"], []])
def test_every_problem_is_told_and_nothing_starts(tmp_path: Path, flags: list[str]) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(BROKEN)
    code, out, err = examined(*flags, "-c", path)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[-1] == f"{len(lines) - 1} problems."
    assert f'{path}:5: servers.web.adr: unknown key; did you mean "addr"?' in lines
    assert any(line.startswith(f"{path}:3: locations.all.upstream: ") for line in lines)
    assert any(line.startswith(f"{path}:9: servers.other.locations[0]: ") for line in lines)


def test_what_cannot_be_built_is_told_as_well(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(
        VALID.replace('locations = ["all"]', 'locations = ["all"]\naccess_log = "{nonsense}"')
        + '[locations.other]\nproxy_set_headers = ["X-A: $nonesuch"]\n'
    )
    code, _, err = invoke("-t", "-c", path)
    assert code == 2
    assert "servers.web.access_log: unknown tag {nonsense}" in err
    assert "locations.other.proxy_set_headers[0]: $nonesuch is neither an environment" in err
    assert err.endswith("2 problems.\n")


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    expected = f"{path}: cannot be read: No such file or directory\n1 problem.\n"
    assert run("-c", path) == (2, "", expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "where is the configuration? Give -c PATH, or --upstream ADDR"),
        (["-c", "x", "--upstream", "y"], "--conf and --upstream cannot be used together"),
        (["-c", "x", "--addr", "y"], "--addr needs --upstream"),
        (["-c", "x", "--domain", "y"], "--domain needs --upstream"),
        (["--nonsense"], "No such option"),
        (["-c"], "requires an argument"),
        (["-c", "x", "--threads", "many"], "not a valid integer"),
        (["-c", "x", "more"], "unexpected extra argument"),
        (["-c", "x", "--admin", "y"], "--admin: the admin listener is not in this release yet"),
        (["-c", "x", "--cp"], "--cp: the control panel is not in this release yet"),
        (["-c", "x", "--sync", "y"], "--sync: writing the configuration to another storage is not"),
        (["-c", "x", "--to-hcl"], "command here: pingap convert FILE --to hcl, of pingap-convert"),
        (["-c", "x", "--to-kdl"], "command here: pingap convert FILE --to kdl, of pingap-convert"),
        (["--upstream", "x", "--cert", "/none"], "--cert: there is no file /none"),
        (["--upstream", "x", "--key", "y"], "--key needs --cert"),
        (["-c", "x", "--cert", "y"], "--cert needs --upstream"),
    ],
)
def test_wrong_use_exits_with_2(arguments: list[str], message: str) -> None:
    code, out, err = invoke(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_environment_names_the_configuration(conf: Path, tmp_path: Path) -> None:
    assert invoke("-t", PINGAP_CONF=str(conf))[0] == 0
    broken = str(tmp_path / "none.toml")
    assert invoke("-t", "-c", conf, PINGAP_CONF=broken)[0] == 0
    assert broken in invoke("-t", PINGAP_CONF=broken)[2]
    # The quick start does not look at it.
    assert invoke("-t", "--upstream", "127.0.0.1:9", PINGAP_CONF=broken)[0] == 0
    code, _, err = invoke("-t", "-c", conf, PINGAP_ADMIN_ADDR="127.0.0.1:1")
    assert (code, "PINGAP_ADMIN_ADDR: the admin listener is not in" in err) == (2, True)


@pytest.mark.parametrize("flag", ["-c={}", "-tc={}", "--conf={}"])
def test_an_equals_sign_may_stand_before_the_path(conf: Path, flag: str) -> None:
    """As in all start lines of pingap's README."""
    assert invoke(flag.format(conf), "-t") == (0, VALID_TEXT, "")
    assert invoke("lint", f"-c={conf}")[0] == 0


def test_the_home_is_found_without_a_shell(conf: Path) -> None:
    home = {"HOME": str(conf.parent)}
    assert invoke("-c=~/valid.toml", "-t", **home) == (0, VALID_TEXT, "")
    assert invoke("-t", **home, PINGAP_CONF="~/valid.toml") == (0, VALID_TEXT, "")
    assert invoke("lint", **home, PINGAP_CONF="~/valid.toml")[0] == 0


@pytest.mark.parametrize("name", ["fifo", "/dev/zero", "/dev/null"])
def test_a_configuration_is_a_regular_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "fifo":
        os.mkfifo(path)
    code, _, err = invoke("-t", "-c", path)
    assert code == 2
    assert err.startswith(f"{path}: cannot be read: it is a ")


def test_a_configuration_has_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_bytes(b"#" * (FILE_LIMIT + 1))
    assert invoke("-t", "-c", path)[2].startswith(f"{path}: is larger than 16MiB\n")


def test_environment_names_the_log(tmp_path: Path) -> None:
    path = tmp_path / "there" / "env.log"
    toml = VALID + 'access_log = "tiny"\n'
    with Process(
        toml, tmp_path / "proxy", "--log", "", env={"PINGAP_LOG": f"{path}?rolling=never"}
    ) as proxy:
        with proxy.connect() as client:
            client.get("/seen")
        assert proxy.stop() == 0
    assert "GET /seen 200 5B" in path.read_text()


def test_warnings_are_printed(conf: Path) -> None:
    conf.write_text(VALID + "tcp_fast_open = 3\n")
    code, out, err = invoke("-t", "-c", conf)
    assert (code, out) == (0, VALID_TEXT)
    assert err == (
        f"warning: {conf}:10: servers.web.tcp_fast_open: has no effect, nor in pingap 0.13.9: the key is"
        " tcp_fastopen\n"
    )


# Running.


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def quick_start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start the command; return the process and what it announces."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pingap", *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    return process, "".join(process.stderr.readline() for _ in range(3))


def test_quick_start_proxies_to_upstreams(upstream: Upstream) -> None:
    port = free_port()
    process, text = quick_start(
        "--upstream", f"{upstream.addr} , {upstream.addr} 2", "--addr", f"127.0.0.1:{port}",
        "--domain", "a.example,b.example",
    )  # fmt: skip
    try:
        assert text.startswith("warning: --domain without --cert serves plain HTTP: ")
        assert f"pingap {__version__} is serving" in text
        assert re.search(rf"http://127\.0\.0\.1:{port} +pingap: 1 location$", text, re.MULTILINE)
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/x", headers={"Host": "b.example"}).body == b"ok"
            assert client.get("/x", headers={"Host": "c.example"}).status == 404
    finally:
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=10)
    assert process.returncode == 0
    assert '"GET /x HTTP/1.1" 200 2B' in rest


def test_quick_start_shows_mistakes_without_a_file() -> None:
    code, _, err = invoke("-t", "--upstream", 'no "quotes"', "--addr", "127.0.0.1")
    assert code == 2
    assert "<quick start>:" in err
    assert "Traceback" not in err


def test_start_message_tells_every_address(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    toml = '[basic]\nname = "edge"\n' + VALID.replace(
        'addr = "127.0.0.1:0"', f'addr = "127.0.0.1:0, unix:{path}"'
    )
    toml += '[locations.two]\nplugins = ["hello"]\n[servers.other]\naddr = "127.0.0.1:0"\n'
    toml += 'locations = ["all", "two"]\n'
    with Process(toml, tmp_path / "proxy") as proxy:
        lines = proxy.start_text.splitlines()
        assert lines[0] == f"pingap {__version__} (edge) is serving"
        assert len(proxy.addresses["web"]) == 2
        assert any(f"unix:{path}" in line and "web: 1 location" in line for line in lines)
        assert any(line.endswith("other: 2 locations") for line in lines)
        assert len(lines) == 4


def test_every_port_in_use_is_told_with_its_line(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        first, second = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in (one, two))
        path = tmp_path / "pingap.toml"
        more = f'[servers.two]\naddr = "{second}"\nlocations = ["all"]\n'
        path.write_text(VALID.replace("127.0.0.1:0", first) + more)
        hint = "Address already in use (is another server running?)"
        assert run("-c", path) == (
            1,
            "",
            f"{path}:8: servers.web.addr: cannot listen on {first}: {hint}\n"
            f"{path}:11: servers.two.addr: cannot listen on {second}: {hint}\n2 problems.\n",
        )


@pytest.mark.parametrize("flags", [["-t"], []])
def test_a_host_that_cannot_be_resolved_is_an_error(conf: Path, flags: list[str]) -> None:
    conf.write_text(VALID.replace("127.0.0.1:0", "no-such-host.invalid:80"))
    code, _, err = examined(*flags, "-c", conf)
    assert code == 2
    assert err.startswith(
        f"{conf}:8: servers.web.addr: cannot listen on no-such-host.invalid:80: its host cannot be"
    )


@pytest.mark.parametrize("flags", [["-t"], []])
def test_a_configuration_without_servers_is_an_error(conf: Path, flags: list[str]) -> None:
    conf.write_text("# nothing\n")
    code, _, err = examined(*flags, "-c", conf)
    assert (code, err.startswith(f"{conf}: servers: there is no server: add a table")) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_with_0(tmp_path: Path, number: signal.Signals) -> None:
    with Process(VALID, tmp_path) as proxy:
        with proxy.connect() as client:
            assert client.get("/").body == b"hello"
            assert proxy.stop(number) == 0
            assert client.is_closed()
        assert "draining" in proxy.log


def test_hangup_reloads(tmp_path: Path) -> None:
    with Process(VALID, tmp_path) as proxy:
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("the configuration was reloaded; its text is the same")
        with proxy.connect() as client:
            assert client.get("/").body == b"hello"


# Logs.


def test_log_rolls_by_day_behind_a_link(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "app.log"
    toml = VALID + f'access_log = "{tmp_path}/access.log?rolling=hourly tiny"\n'
    with Process(toml, tmp_path / "proxy", "--log", str(log)) as proxy:
        with proxy.connect() as client:
            client.get("/seen")
        assert proxy.stop() == 0
    assert log.is_symlink()
    assert re.fullmatch(r"app\.log\.\d{4}-\d\d-\d\d", log.readlink().name)
    assert "INFO draining" in log.read_text()
    access = tmp_path / "access.log"
    assert re.fullmatch(r"access\.log\.\d{4}-\d\d-\d\d-\d\d", access.readlink().name)
    assert re.fullmatch(r"GET /seen 200 5B - \d+ms\n", access.read_text())


@pytest.mark.parametrize("target", ["x.log?rolling=yearly", "syslog:local", "/proc/none/x.log"])
def test_log_that_cannot_be_opened_is_told(conf: Path, target: str) -> None:
    code, _, err = run("-c", conf, "--log", target, cwd=conf.parent)
    assert code in (1, 2)
    assert "Traceback" not in err


def test_access_log_that_cannot_be_opened_is_told(conf: Path) -> None:
    conf.write_text(VALID + 'access_log = "x.log?rolling=yearly tiny"\n')
    code, _, err = invoke("-t", "-c", conf)
    assert code == 2
    assert f"{conf}:10: servers.web.access_log: rolling=yearly: expected one of daily" in err


def test_log_on_a_full_disk_does_not_end_the_process(tmp_path: Path) -> None:
    toml = VALID + 'access_log = "/dev/full?rolling=never tiny"\n'
    proxy = Process(toml, tmp_path / "proxy")
    try:
        with proxy.connect() as client:
            assert client.get("/").body == b"hello"
        with pytest.raises(subprocess.TimeoutExpired):
            proxy.process.wait(1.5)
        with proxy.connect() as client:
            assert client.get("/").body == b"hello"
    finally:
        proxy.stop()


def test_json_log(tmp_path: Path) -> None:
    with Process("[basic]\nlog_format_json = true\n" + VALID, tmp_path) as proxy:
        proxy.stop()
        assert re.fullmatch(
            r'\{"timestamp": "[^"]+", "level": "INFO", "fields": \{"message": "draining"\}\}\n',
            proxy.log,
        )


def test_every_line_on_standard_error_is_json(tmp_path: Path) -> None:
    """The announcement and warnings of the configuration as well."""
    path = tmp_path / "pingap.toml"
    text = VALID + "[locations.idle]\n"  # (which can never answer: a warning)
    path.write_text("[basic]\nlog_format_json = true\n" + text)
    command = [sys.executable, "-m", "pingap", "-c", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(json.loads(line))
            if "is serving" in line:
                process.terminate()
    assert process.returncode == 0
    assert [line["level"] for line in lines] == ["WARN", "INFO", "INFO"]
    assert "idle: answers every request with 503" in lines[0]["fields"]["message"]


@pytest.mark.parametrize(("level", "there"), [("info", True), ("warn", False), ("off", False)])
def test_log_level(tmp_path: Path, level: str, there: bool) -> None:
    with Process(f'[basic]\nlog_level = "{level}"\n' + VALID, tmp_path) as proxy:
        proxy.stop()
        assert ("draining" in proxy.log) is there
