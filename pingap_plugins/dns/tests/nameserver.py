"""A name server on loopback whose answers can be changed at any time."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from types import TracebackType
from typing import Final, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

SILENT: Final = "SILENT"
"""In place of records: no answer at all."""


class NameServer:
    """Answers by UDP and TCP, on the same port.

    Names that have no records at all do not exist (NXDOMAIN). In place of records there may be the
    name of an rcode, or ``SILENT``.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        """The questions, in their order: name and kind."""
        self.truncates = False
        """By UDP it answers that the answer is too long."""
        self._records: dict[tuple[str, str], tuple[list[str] | str, int]] = {}
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for _ in range(20):
            self._udp.bind(("127.0.0.1", 0))
            try:
                self._tcp.bind(self._udp.getsockname())
                break
            except OSError:  # taken for TCP
                self._udp.close()
                self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp.listen()
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """IP address and port."""
        host, port = self._udp.getsockname()
        return host, port

    @property
    def text(self) -> str:
        """The address as ``dns_server`` has it."""
        return "{}:{}".format(*self.address)

    def set(self, name: str, kind: str, records: list[str] | str, ttl: int = 60) -> None:
        """Answer with these records from now on."""
        self._records = {**self._records, (name, kind): (records, ttl)}

    def remove(self, name: str) -> None:
        """Let a name be unknown from now on."""
        self._records = {key: one for key, one in self._records.items() if key[0] != name}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.close()
        self._thread.join(10)
        for sock in (self._udp, self._tcp, self._stopped):
            sock.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._udp, self._tcp, self._stopped):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._stopped in ready:
                    return
                if self._udp in ready:
                    self._serve_udp()
                if self._tcp in ready:
                    self._serve_tcp()

    def _serve_udp(self) -> None:
        wire, client = self._udp.recvfrom(4096)
        if (response := self._answer(wire)) is not None:
            if self.truncates:
                response.flags |= dns.flags.TC
                response.answer.clear()
            self._udp.sendto(response.to_wire(), client)

    def _serve_tcp(self) -> None:
        connection, _ = self._tcp.accept()
        with connection, connection.makefile("rb") as file:
            connection.settimeout(5)
            (length,) = struct.unpack("!H", file.read(2))
            if (response := self._answer(file.read(length))) is not None:
                wire = response.to_wire()
                connection.sendall(struct.pack("!H", len(wire)) + wire)

    def _answer(self, wire: bytes) -> dns.message.Message | None:
        request = dns.message.from_wire(wire)
        question = request.question[0]
        name, kind = (
            question.name.to_text(omit_final_dot=True),
            dns.rdatatype.to_text(question.rdtype),
        )
        self.asked.append((name, kind))
        response = dns.message.make_response(request)
        if (name, "CNAME") in self._records:
            (target,), ttl = self._records[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(question.name, ttl, "IN", "CNAME", target))
            name = target.removesuffix(".")
        records, ttl = self._records.get((name, kind), ([], 0))
        if records == SILENT:
            return None
        if isinstance(records, str):
            response.set_rcode(dns.rcode.from_text(records))
        elif records:
            response.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *records))
        elif name not in {key[0] for key in self._records}:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response
