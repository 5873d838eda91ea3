"""``basic_auth`` as clients see it."""

from __future__ import annotations

import select
import threading
import time
from base64 import b64encode
from pathlib import Path

import bcrypt
import pytest
from pingap_auth import password_hashes
from pingap_auth.basic_auth import BasicAuth

from pingap.testing import Answer, Client, Clock, Proxy, Upstream, configuration_problems

CHALLENGE = 'Basic realm="Access to the staging site"'
MISSING = (401, "Authorization is missing")
WRONG = (401, "Invalid user or password")


def basic(user: str = "alice", password: str = "sesame") -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text


def has_answer(client: Client) -> bool:
    return bool(select.select([client.sock], [], [], 0)[0])


ALICE = b64encode(b"alice:sesame").decode()


@pytest.fixture
def site(proxy: Proxy) -> Proxy:
    proxy.configure(
        "servers.web", enabled_h2=True, access_log="[{:user}] {:users.failure} {status}"
    )
    settings = {"category": "basic_auth", "authorizations": [ALICE, "Ym9iOnjDpDp5"]}  # bob:xä:y
    proxy.configure("plugins.users", **settings)
    proxy.location("/", plugins=["users"])
    return proxy


def test_the_right_password(site: Proxy, upstream: Upstream) -> None:
    assert site.get("/", headers={"Authorization": basic()}).status == 200
    assert upstream.received_once().header("authorization") == basic()
    assert site.access_log == ["[alice]  200"]


def test_a_password_with_colons_and_umlauts(site: Proxy) -> None:
    assert site.get("/", headers={"Authorization": basic("bob", "xä:y")}).status == 200


def test_no_password(site: Proxy, upstream: Upstream) -> None:
    answer = site.get("/")
    assert told(answer) == MISSING
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.header("content-type") is None
    assert upstream.requests == []
    assert site.access_log == ["[] missing 401"]


@pytest.mark.parametrize(
    "sent",
    [
        f"basic {ALICE}",
        f"BASIC  {ALICE}",
        f"Basic {ALICE.rstrip('=')}",
        f"Basic {ALICE}==",
    ],
)
def test_the_same_credentials_written_differently(site: Proxy, sent: str) -> None:
    assert site.get("/", headers={"Authorization": sent}).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        basic("alice", "Sesame"),
        basic("Alice"),
        basic("alice", ""),
        basic("", "sesame"),
        basic("alice", "sesame\0"),
        basic("alice", "sesame\n"),
        basic("alice\0", "sesame"),
        "",
        "Basic",
        "Basic ",
        f"Basic{ALICE}",
        f"Bearer {ALICE}",
        f"Basic {ALICE} x",
        f"Basic {ALICE}, Basic {ALICE}",
        f"Basic {ALICE[:4]} {ALICE[4:]}",
        f"Basic {ALICE[:4]}!{ALICE[4:]}",
        f"Basic {ALICE[:4]}={ALICE[4:]}",
        f"Basic {ALICE[:-3]}",
        f"Basic\t{ALICE}",
        f"Basic {ALICE}\u00e4",
        "Basic YWxpY2U",  # without a colon
        "Basic " + "A" * 40_000,
        ALICE,
        "alice:sesame",
    ],
)
def test_what_is_wrong(site: Proxy, upstream: Upstream, sent: str) -> None:
    answer = site.get("/", headers={"Authorization": sent})
    assert told(answer) == WRONG
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert upstream.requests == []
    assert site.access_log == ["[] wrong 401"]


def test_several_fields_are_refused(site: Proxy, upstream: Upstream) -> None:
    """Whichever is right: the upstream could read the other one."""
    for fields in ([basic(), basic("x", "y")], [basic("x", "y"), basic()], [basic(), basic()]):
        answer = site.get("/", headers=[("Authorization", one) for one in fields])
        assert told(answer) == WRONG
    assert upstream.requests == []


def test_nothing_says_which_half_was_wrong(site: Proxy) -> None:
    name = site.get("/", headers={"Authorization": basic("nobody")})
    password = site.get("/", headers={"Authorization": basic("alice", "x")})
    assert [one for one in name.headers if one[0] != "Date"] == [
        one for one in password.headers if one[0] != "Date"
    ]
    assert told(name) == told(password)


def test_hidden_credentials_never_reach_the_upstream(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(
        "/", plugins=[("basic_auth", {"authorizations": [ALICE], "hide_credentials": True})]
    )
    proxy.configure("servers.web", enabled_h2=True)
    assert proxy.get("/", headers={"AUTHORIZATION": basic(), "X-A": "b"}).status == 200
    with proxy.connect_http2() as client:
        assert client.request("GET", "/", headers={"authorization": basic()}).status == 200
    assert [one.header("authorization") for one in upstream.requests] == [None, None]


def test_a_realm_is_quoted(proxy: Proxy) -> None:
    proxy.location("/", plugins=[("basic_auth", {"authorizations": [ALICE], "realm": 'a"b\\c'})])
    assert proxy.get("/").headers["WWW-Authenticate"] == r'Basic realm="a\"b\\c"'


# Delays.


def test_only_wrong_credentials_are_delayed(proxy: Proxy, upstream: Upstream) -> None:
    plugin = ("basic_auth", {"authorizations": [ALICE], "delay": "25s"})
    proxy.location("/", plugins=[plugin])
    with proxy.connect() as slow:
        slow.send_request("GET", "/", headers={"Authorization": basic("x", "y")})
        assert told(proxy.get("/")) == MISSING
        assert proxy.get("/", headers={"Authorization": basic()}).status == 200
        assert not has_answer(slow)
    assert len(upstream.requests) == 1


def test_the_delay_is_kept(proxy: Proxy) -> None:
    proxy.location("/", plugins=[("basic_auth", {"authorizations": [ALICE], "delay": "150ms"})])
    with proxy.connect() as client:
        began = time.monotonic()
        answer = client.request("GET", "/", headers={"Authorization": basic("x", "y")})
        assert told(answer) == WRONG
        assert time.monotonic() - began >= 0.15


def test_the_number_of_delayed_answers_is_bounded(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingap_auth.guard.MOST_DELAYED", 2)
    proxy.location("/", plugins=[("basic_auth", {"authorizations": [ALICE], "delay": "25s"})])
    wrong = {"Authorization": basic("x", "y")}
    with proxy.connect() as one, proxy.connect() as two:
        one.send_request("GET", "/", headers=wrong)
        two.send_request("GET", "/", headers=wrong)
        proxy.get("/")  # what was sent before has been read when this is answered
        assert told(proxy.get("/", headers=wrong)) == WRONG


def test_a_delay_beyond_the_time_limit_is_a_configuration_error() -> None:
    toml = f'[plugins.p]\ncategory = "basic_auth"\nauthorizations = ["{ALICE}"]\ndelay = "40s"\n'
    [problem] = configuration_problems(toml)
    assert "delay must be shorter than timeout (30s)" in problem
    assert configuration_problems(toml + 'timeout = "60s"\n') == []


# Metrics.


def test_failures_are_counted(site: Proxy) -> None:
    site.get("/")
    for _ in range(2):
        site.get("/", headers={"Authorization": basic("x", "y")})
    metrics = site.metrics()
    assert metrics.value("pingap_auth_failures_total", plugin="users", reason="missing") == 1
    assert metrics.value("pingap_auth_failures_total", plugin="users", reason="wrong") == 2
    assert metrics.value("pingap_auth_client_failures", plugin="users", client="127.0.0.1") == 2


# Users in a file.


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "users.htpasswd"
    path.write_text(f"# staff\n\nalice:{hashed('sesame')}\nbob:{hashed('x')}:Bob Builder\n")
    return path


def test_users_of_a_file(proxy: Proxy, users_file: Path) -> None:
    proxy.location("/", plugins=[("basic_auth", {"users_file": str(users_file)})])
    for _ in range(2):  # checked, then remembered
        assert proxy.get("/", headers={"Authorization": basic()}).status == 200
        assert proxy.get("/", headers={"Authorization": basic("bob", "x")}).status == 200
        assert told(proxy.get("/", headers={"Authorization": basic("bob", "y")})) == WRONG
        assert told(proxy.get("/", headers={"Authorization": basic("eve", "x")})) == WRONG
        # The password of the user whose hash takes the time for an unknown name.
        assert told(proxy.get("/", headers={"Authorization": basic("eve", "sesame")})) == WRONG


def test_users_of_the_configuration(proxy: Proxy, users_file: Path, tmp_path: Path) -> None:
    (tmp_path / "more").write_text(f"eve:{hashed('of a file')}\n")
    keys = {
        "users": [f"dora:{hashed('inline')}", f"file:{tmp_path}/more"],
        "users_file": str(users_file),
    }
    proxy.location("/", plugins=[("basic_auth", keys)])
    for user, password in (("dora", "inline"), ("eve", "of a file"), ("alice", "sesame")):
        assert proxy.get("/", headers={"Authorization": basic(user, password)}).status == 200
    wrong = proxy.get("/", headers={"Authorization": basic("dora", "of a file")})
    assert told(wrong) == WRONG
    (tmp_path / "more").write_text(f"finn:{hashed('new')}\n")
    proxy.wait_for_log("was read again")
    assert proxy.get("/", headers={"Authorization": basic("finn", "new")}).status == 200


def test_mistakes_in_users_show_no_hash() -> None:
    table = '[plugins.a]\ncategory = "basic_auth"\nusers = ["a:secret-hash"]\n'
    [problem] = configuration_problems(table)
    assert "users[0]: expected a hash" in problem
    assert "secret-hash" not in problem


def test_a_removed_user_is_out_and_a_new_one_in(proxy: Proxy, users_file: Path) -> None:
    proxy.location("/", plugins=[("basic_auth", {"users_file": str(users_file)})])
    assert proxy.get("/", headers={"Authorization": basic()}).status == 200
    users_file.write_text(f"carol:{hashed('sesame')}\n")
    proxy.wait_for_log("was read again")
    assert told(proxy.get("/", headers={"Authorization": basic()})) == WRONG
    assert proxy.get("/", headers={"Authorization": basic("carol")}).status == 200


def test_a_broken_file_locks_nobody_out(proxy: Proxy, users_file: Path) -> None:
    proxy.location("/", plugins=[("basic_auth", {"users_file": str(users_file)})])
    assert proxy.get("/", headers={"Authorization": basic()}).status == 200
    users_file.write_text("alice:plain-password\n")
    proxy.wait_for_log("users_file, line 1: expected a hash")
    assert proxy.get("/", headers={"Authorization": basic()}).status == 200
    assert "plain-password" not in proxy.expect_error("users_file, line 1")


class Counted:
    """Counts checks of passwords, and holds them until a test lets them go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.begun, self.number = threading.Event(), threading.Semaphore(0), 0
        self._check = password_hashes._bcrypt
        monkeypatch.setattr(password_hashes, "_bcrypt", self.check)

    def check(self, password: bytes, text: str) -> bool:
        self.number += 1
        self.begun.release()
        assert self.go.wait(20)
        return self._check(password, text)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def test_a_password_is_checked_once(proxy: Proxy, users_file: Path, counted: Counted) -> None:
    counted.go.set()
    proxy.location("/", plugins=[("basic_auth", {"users_file": str(users_file)})])
    for _ in range(3):
        assert proxy.get("/", headers={"Authorization": basic()}).status == 200
        assert told(proxy.get("/", headers={"Authorization": basic("x", "y")})) == WRONG
    assert counted.number == 2


def test_a_password_is_checked_again_after_a_while(
    proxy: Proxy, users_file: Path, counted: Counted, clock: Clock
) -> None:
    counted.go.set()
    proxy.location("/", plugins=[("basic_auth", {"users_file": str(users_file), "remember": "1m"})])
    proxy.get("/", headers={"Authorization": basic()})
    clock.advance(59)
    proxy.get("/", headers={"Authorization": basic()})
    assert counted.number == 1
    clock.advance(2)
    proxy.get("/", headers={"Authorization": basic()})
    assert counted.number == 2


def test_without_remembering_each_request_is_checked(
    proxy: Proxy, users_file: Path, counted: Counted
) -> None:
    counted.go.set()
    proxy.location("/", plugins=[("basic_auth", {"users_file": str(users_file), "remember": "0s"})])
    for _ in range(3):
        assert proxy.get("/", headers={"Authorization": basic()}).status == 200
    assert counted.number == 3


def test_checks_hold_nobody_and_equal_ones_run_once(
    proxy: Proxy, users_file: Path, counted: Counted
) -> None:
    proxy.location("/ping", plugins=["pingap:ping"])
    proxy.location("/", plugins=[("basic_auth", {"users_file": str(users_file)})])
    clients = [proxy.connect() for _ in range(6)]
    try:
        for client in clients:
            client.send_request("GET", "/", headers={"Authorization": basic()})
        assert counted.begun.acquire(timeout=10)
        assert proxy.get("/ping").text == "pong"
        counted.go.set()
        assert [client.answer().status for client in clients] == [200] * 6
    finally:
        for client in clients:
            client.close()
    assert counted.number == 1


def test_a_client_that_leaves_does_not_take_the_others_along(
    proxy: Proxy, users_file: Path, counted: Counted
) -> None:
    proxy.location("/", plugins=[("basic_auth", {"users_file": str(users_file)})])
    with proxy.connect() as stays:
        with proxy.connect() as leaves:
            leaves.send_request("GET", "/", headers={"Authorization": basic()})
            assert counted.begun.acquire(timeout=10)
            stays.send_request("GET", "/", headers={"Authorization": basic()})
        counted.go.set()
        assert stays.answer().status == 200


def test_one_client_cannot_take_all_places(
    proxy: Proxy, users_file: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingap_auth.checks.MOST_OF_CLIENT", 3)
    proxy.location("/", plugins=[("basic_auth", {"users_file": str(users_file)})])

    def send(number: int, client_ip: str) -> Client:
        client = proxy.connect()
        headers = {"Authorization": basic("x", str(number)), "X-Forwarded-For": client_ip}
        client.send_request("GET", "/", headers=headers)
        return client

    proxy.configure("basic", trusted_proxies=["127.0.0.1"])
    waiting = [send(number, "192.0.2.1") for number in range(3)]
    busy = proxy.get(
        "/", headers={"Authorization": basic("x", "9"), "X-Forwarded-For": "192.0.2.1"}
    )
    assert told(busy) == (503, "Too many passwords are being checked")
    assert busy.headers["Retry-After"] == "5"
    waiting.append(send(10, "192.0.2.2"))
    counted.go.set()
    answers = [client.answer() for client in waiting]
    assert [told(one) for one in answers] == [WRONG] * 4
    for client in waiting:
        client.close()


def test_the_number_of_remembered_passwords_is_bounded(
    proxy: Proxy, users_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pingap_auth.remembered import Remembered

    remembered: Remembered[bool] = Remembered(60, most=3)
    for number in range(10):
        remembered.put(bytes([number]), True)
    assert len(remembered) == 3
    assert remembered.get(b"\x09")
    assert not remembered.get(b"\x00")


# The configuration.


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("", "nobody could pass: set users, users_file or authorizations"),
        ("authorizations = []", "nobody could pass"),
        ('authorizations = ["hush!"]', "authorizations[0] is not base64 of user:password"),
        ('authorizations = ["aHVzaA=="]', "authorizations[0] is not base64"),
        ('authorizations = "hush"', "authorizations"),
        ('authorizations = ["$ENV:NONE_SUCH"]', 'variable "NONE_SUCH" is not set'),
        ('users_file = "/none/such"', '"/none/such" cannot be read: No such file'),
        ('users_file = "{tmp}/empty"', "users_file has no users"),
        ('users_file = "{tmp}/md5"', "users_file, line 1: MD5 (apr1) is not safe"),
        ('users_file = "{tmp}/twice"', "users_file, line 2: the user is already listed"),
        ('users_file = "{tmp}/line"', "users_file, line 1: expected name:hash"),
        (f'authorizations = ["{ALICE}"]\nfail_open = true', "fail_open"),
        (f'authorizations = ["{ALICE}"]\nrealm = "a\\nb"', "control character"),
        (f'authorizations = ["{ALICE}"]\nhide = true', "hide: unknown key"),
    ],
)
def test_mistakes(tmp_path: Path, keys: str, reason: str) -> None:
    (tmp_path / "empty").write_text("# nobody\n")
    (tmp_path / "md5").write_text("alice:$apr1$hush$hush\n")
    (tmp_path / "twice").write_text(f"alice:{hashed('x')}\nalice:{hashed('x')}\n")
    (tmp_path / "line").write_text("hush\n")
    keys = keys.replace("{tmp}", str(tmp_path))
    found = configuration_problems(f'[plugins.p]\ncategory = "basic_auth"\n{keys}\n')
    assert any(reason in one for one in found), found
    assert not any("hush" in one.replace(str(tmp_path), "") for one in found)


def test_a_step_of_the_sample_files_is_accepted() -> None:
    toml = f'[plugins.p]\ncategory = "basic_auth"\nauthorizations = ["{ALICE}"]\nstep = "request"\n'
    assert configuration_problems(toml) == []


def test_credentials_from_the_environment_and_a_file(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALICE", ALICE)
    (tmp_path / "bob").write_text(b64encode(b"bob:x").decode() + "\n")
    authorizations = ["$ENV:ALICE", f"file:{tmp_path}/bob"]
    proxy.location("/", plugins=[("basic_auth", {"authorizations": authorizations})])
    assert proxy.get("/", headers={"Authorization": basic()}).status == 200
    assert proxy.get("/", headers={"Authorization": basic("bob", "x")}).status == 200
    (tmp_path / "bob").write_text(b64encode(b"bob:y").decode())
    proxy.wait_for_log("was read again")
    assert told(proxy.get("/", headers={"Authorization": basic("bob", "x")})) == WRONG
    assert proxy.get("/", headers={"Authorization": basic("bob", "y")}).status == 200


def test_no_secret_is_in_a_repr() -> None:
    settings = BasicAuth.Settings.model_validate({"authorizations": [ALICE]})
    assert ALICE not in repr(settings) + settings.model_dump_json()
