"""A service of gRPC without generated code: messages are bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from types import TracebackType
from typing import Any

import grpc

MOST = 8 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", MOST), ("grpc.so_reuseport", 0)]


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """What the methods ``/s/...`` do, and what became of their calls."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []
        self.time_left: list[float | None] = []
        self.began = Semaphore(0)
        self.cancelled = Event()
        self.go_on = Event()
        self.health = {b"": b"\x08\x01"}
        """Question of a health check -> its answer; other questions are answered with NOT_FOUND."""

    def service(self, details: Any) -> Any:
        name = details.method.rpartition("/")[2]
        kinds = {
            "Check": grpc.unary_unary_rpc_method_handler,
            "Echo": grpc.unary_unary_rpc_method_handler,
            "Fail": grpc.unary_unary_rpc_method_handler,
            "Hang": grpc.unary_unary_rpc_method_handler,
            "Count": grpc.unary_stream_rpc_method_handler,
            "FailLate": grpc.unary_stream_rpc_method_handler,
            "Endless": grpc.unary_stream_rpc_method_handler,
            "Join": grpc.stream_unary_rpc_method_handler,
            "Chat": grpc.stream_stream_rpc_method_handler,
        }
        return kinds[name](getattr(self, name)) if name in kinds else None

    def Echo(self, request: bytes, context: Any) -> bytes:  # noqa: N802
        """Return the message; metadata in both directions."""
        self.metadata.append(dict(context.invocation_metadata()))
        self.time_left.append(context.time_remaining())
        context.send_initial_metadata((("x-first", "1"), ("x-bytes-bin", b"\0\xff")))
        context.set_trailing_metadata((("x-last", "2"),))
        return request

    def Check(self, request: bytes, context: Any) -> bytes:  # noqa: N802
        """Tell of the health of a service (``grpc.health.v1.Health``)."""
        self.metadata.append(dict(context.invocation_metadata()))
        if request not in self.health:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return self.health[request]

    def Fail(self, request: bytes, context: Any) -> bytes:  # noqa: N802
        """Fail at once: an answer of trailers only."""
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "nö: 100%")
        raise AssertionError

    def Hang(self, request: bytes, context: Any) -> bytes:  # noqa: N802
        """Answer once told to, or never."""
        context.add_callback(self.cancelled.set)
        self.began.release()
        self.go_on.wait(20)
        return request

    def Count(self, request: bytes, context: Any) -> Iterator[bytes]:  # noqa: N802
        """Return as many messages as asked for."""
        for number in range(int(request)):
            yield str(number).encode()

    def FailLate(self, request: bytes, context: Any) -> Iterator[bytes]:  # noqa: N802
        """Fail within the answer."""
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    def Endless(self, request: bytes, context: Any) -> Iterator[bytes]:  # noqa: N802
        """Return messages until the call is cancelled."""
        context.add_callback(self.cancelled.set)
        while context.is_active():
            yield b"tick"
            time.sleep(0.01)

    def Join(self, requests: Iterator[bytes], context: Any) -> bytes:  # noqa: N802
        """Return all messages as one."""
        return b"".join(requests)

    def Chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:  # noqa: N802
        """Return each message as it comes."""
        yield from requests


class GrpcServer:
    """A server of grpcio.

    :param credentials: for TLS.
    """

    def __init__(self, credentials: Any = None) -> None:
        self.service = Service()
        self.server = grpc.server(ThreadPoolExecutor(32), options=OPTIONS)
        self.server.add_generic_rpc_handlers((self.service,))
        if credentials is None:
            port = self.server.add_insecure_port("127.0.0.1:0")
        else:
            port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.addr = f"127.0.0.1:{port}"
        self.server.start()

    def __enter__(self) -> GrpcServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.service.go_on.set()
        self.server.stop(0).wait()
