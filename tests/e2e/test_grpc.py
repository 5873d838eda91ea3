"""gRPC through the proxy: grpcio at both ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.certificates import issue
from support.grpc_service import OPTIONS, GrpcServer
from support.h2 import H2Client, fields
from support.rig import configure
from support.waiting import until

from pingap.testing import Proxy

UPSTREAM = 'alpn = "H2"\nmax_h2_streams = 100'
FOUR_MB = 4 * 1024 * 1024


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    with GrpcServer() as server:
        yield server


def config(addr: str, **more: str) -> str:
    return configure(addr, server='enabled_h2 = true\naccess_log = "combined"', **more)


@pytest.fixture
def proxy(server: GrpcServer, tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(config(server.addr, upstream=UPSTREAM)) as proxy:
        yield proxy
        assert "Traceback" not in proxy.log


def open_channel(proxy: Proxy) -> Any:
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    return grpc.insecure_channel(f"127.0.0.1:{proxy.port()}", options=options)


@pytest.fixture
def channel(proxy: Proxy) -> Iterator[Any]:
    with open_channel(proxy) as channel:
        yield channel


def failure(call: Any, *arguments: Any, **more: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, timeout=10, **more)
    return caught.value.code(), caught.value.details()


def test_unary_with_metadata(channel: Any, server: GrpcServer) -> None:
    echo = channel.unary_unary("/s/Echo")
    metadata = (("x-own", "1"), ("x-own-bin", b"\0\1"))
    answer, call = echo.with_call(b"hello", metadata=metadata, timeout=10)
    assert answer == b"hello"
    assert dict(call.initial_metadata())["x-first"] == "1"
    assert dict(call.initial_metadata())["x-bytes-bin"] == b"\0\xff"
    assert dict(call.trailing_metadata())["x-last"] == "2"
    (seen,) = server.service.metadata
    assert (seen["x-own"], seen["x-own-bin"]) == ("1", b"\0\1")
    (left,) = server.service.time_left
    assert left is not None
    assert 5 < left <= 10


def test_messages_of_four_megabytes(channel: Any) -> None:
    message = bytes(FOUR_MB)
    assert channel.unary_unary("/s/Echo")(message, timeout=30) == message
    parts = [message[:FOUR_MB]] * 3
    assert list(channel.stream_stream("/s/Chat")(iter(parts), timeout=30)) == parts


def test_streaming_in_each_direction(channel: Any) -> None:
    counted = channel.unary_stream("/s/Count")(b"200", timeout=10)
    assert list(counted) == [str(number).encode() for number in range(200)]
    parts = [str(number).encode() for number in range(200)]
    assert channel.stream_unary("/s/Join")(iter(parts), timeout=10) == b"".join(parts)


def test_a_conversation_message_by_message(channel: Any) -> None:
    answers: list[bytes] = []

    def questions() -> Iterator[bytes]:
        for number in range(20):
            until(lambda: len(answers) == number)  # noqa: B023 - called at once
            yield str(number).encode()

    for answer in channel.stream_stream("/s/Chat")(questions(), timeout=20):
        answers.append(answer)  # noqa: PERF402 - the questions wait for it
    assert answers == [str(number).encode() for number in range(20)]


def test_errors_of_the_server_pass(channel: Any) -> None:
    code, details = failure(channel.unary_unary("/s/Fail"), b"")
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "nö: 100%")
    assert failure(channel.unary_unary("/s/None"), b"")[0] is grpc.StatusCode.UNIMPLEMENTED
    answers = channel.unary_stream("/s/FailLate")(b"", timeout=10)
    assert next(answers) == b"one"
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.DATA_LOSS, "gone")


def test_a_call_that_is_cancelled_is_cancelled_at_the_server(
    channel: Any, server: GrpcServer
) -> None:
    call = channel.unary_stream("/s/Endless")(b"")
    assert next(call) == b"tick"
    call.cancel()
    assert server.service.cancelled.wait(10)


def test_a_deadline_ends_the_call_at_the_server(channel: Any, server: GrpcServer) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/s/Hang")(b"", timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.service.cancelled.wait(10)


def test_many_calls_share_a_connection(channel: Any, server: GrpcServer) -> None:
    calls = [channel.unary_unary("/s/Echo").future(b"%d" % n, timeout=30) for n in range(500)]
    assert [call.result() for call in calls] == [b"%d" % n for n in range(500)]


def test_a_server_that_stops_finishes_its_calls(
    channel: Any, server: GrpcServer, proxy: Proxy
) -> None:
    hanging = channel.unary_unary("/s/Hang").future(b"last", timeout=20)
    assert server.service.began.acquire(timeout=10)
    stopped = server.server.stop(10)
    server.service.go_on.set()
    assert hanging.result() == b"last"
    stopped.wait()
    code, _ = failure(channel.unary_unary("/s/Echo"), b"")
    assert code is grpc.StatusCode.UNAVAILABLE


def test_a_server_that_is_killed(channel: Any, server: GrpcServer) -> None:
    hanging = channel.unary_unary("/s/Hang").future(b"", timeout=20)
    assert server.service.began.acquire(timeout=10)
    server.server.stop(0)
    assert hanging.exception().code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,  # said by the server before it went
    )


# Errors of the proxy.


@pytest.mark.parametrize(
    ("location", "code", "details"),
    [
        ('path = "/other"', grpc.StatusCode.UNIMPLEMENTED, "No location serves this host and path"),
        ("", grpc.StatusCode.UNAVAILABLE, "The upstream server could not answer"),
        (
            'client_max_body_size = "1b"',
            grpc.StatusCode.UNKNOWN,
            "Request Entity Too Large, max:1",
        ),
    ],
)
def test_errors_of_the_proxy(tmp_path: Path, location: str, code: Any, details: str) -> None:
    toml = config("127.0.0.1:1", upstream=UPSTREAM, location=location)
    with Proxy(toml) as proxy, open_channel(proxy) as channel:
        assert failure(channel.unary_unary("/s/Echo"), b"hello") == (code, details)


def test_an_upstream_that_is_too_slow(server: GrpcServer, tmp_path: Path) -> None:
    toml = config(server.addr, upstream=UPSTREAM + '\nread_timeout = "300ms"')
    with Proxy(toml) as proxy, open_channel(proxy) as channel:
        code, _ = failure(channel.unary_unary("/s/Hang"), b"")
        assert code is grpc.StatusCode.UNAVAILABLE
        assert server.service.cancelled.wait(10)
        assert channel.unary_unary("/s/Echo")(b"a", timeout=10) == b"a"


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto"])
def test_an_error_is_trailers_only(tmp_path: Path, content_type: str) -> None:
    toml = config("127.0.0.1:1", upstream=UPSTREAM)
    with Proxy(toml) as proxy, H2Client(proxy) as client:
        answer = client.get(1, "/", ("content-type", content_type), ("te", "trailers"))
        assert (answer.status, answer.body, len(answer.heads)) == (200, b"", 1)
        assert answer.header("content-type") == "application/grpc"
        assert answer.header("grpc-status") == "14"
        page = client.get(3, "/", ("content-type", "application/grpc-web"))
        assert page.status == 502
        client.headers(5, fields())
        assert client.finish(5).header("grpc-status") is None


def test_by_tls_at_both_ends(tmp_path: Path) -> None:
    root = issue(ca=True, common_name="root")
    own = issue("localhost", "127.0.0.1", by=root)
    own.write(tmp_path, "own")
    root.write(tmp_path, "root")
    pair = ((tmp_path / "own.key").read_bytes(), (tmp_path / "own.pem").read_bytes())
    credentials = grpc.ssl_server_credentials([pair])
    with GrpcServer(credentials) as server:
        upstream = UPSTREAM + f'\nsni = "localhost"\nupstream_ca = "{tmp_path}/root.pem"'
        toml = configure(
            server.addr,
            upstream=upstream,
            server="enabled_h2 = true\nglobal_certificates = true",
            more=f'[certificates.own]\ntls_cert = "{tmp_path}/own.pem"\ntls_key = "{tmp_path}/own.key"',
        )
        trusted = grpc.ssl_channel_credentials(root.cert.encode())
        with Proxy(toml) as proxy:
            address = f"localhost:{proxy.port()}"
            with grpc.secure_channel(address, trusted, options=OPTIONS) as channel:
                message = bytes(FOUR_MB)
                assert channel.unary_unary("/s/Echo")(message, timeout=30) == message
                parts = [b"a", b"b"]
                assert list(channel.stream_stream("/s/Chat")(iter(parts), timeout=10)) == parts


@pytest.mark.parametrize("fails", [False, True])
def test_grpc_web_reaches_a_server_of_grpc(server: GrpcServer, tmp_path: Path, fails: bool) -> None:
    toml = config(server.addr, upstream=UPSTREAM, location="grpc_web = true")
    message = b"\0\0\0\0\x05hello"
    with Proxy(toml) as proxy, proxy.connect() as client:
        path = "/s/Fail" if fails else "/s/Echo"
        answer = client.request(
            "POST", path, body=message, headers={"Content-Type": "application/grpc-web+proto"}
        )
        assert answer.status == 200
        if fails:
            assert answer.body[:1] == b"\x80"
            assert b"grpc-status: 3\r\n" in answer.body
        else:
            assert answer.body.startswith(message + b"\x80")
            assert b"grpc-status: 0\r\n" in answer.body
            assert b"x-last: 2\r\n" in answer.body
