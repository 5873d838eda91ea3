"""The origin of HTTP/2: answers asks exactly, and resets, ends or breaks the others."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from fuzz.content import Book


class Origin2:
    """Serves connections; each is one object of ``_Served``."""

    def __init__(self, book: Book, seed: str) -> None:
        self._book = book
        self._rng = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection of the proxy."""
        served = _Served(self._book, self._rng, writer)
        try:
            while data := await reader.read(65_536):
                for event in served.h2.receive_data(data):
                    if isinstance(event, h2.events.ConnectionTerminated) and event.error_code:
                        self._book.wrong.append(f"an origin of HTTP/2 was told {event!r}")
                    # (The library knows already of a reset that comes later among the events.)
                    with suppress(
                        h2.exceptions.StreamClosedError, h2.exceptions.StreamIDTooLowError
                    ):
                        served.on_event(event)
                    if served.ended:
                        return
                served.flush()
                await writer.drain()
        except h2.exceptions.ProtocolError as error:
            self._book.wrong.append(f"an origin of HTTP/2 got what is none: {error!r}")
        except OSError:
            pass  # the proxy has left
        finally:
            writer.close()


class _Served:
    def __init__(self, book: Book, rng: random.Random, writer: asyncio.StreamWriter) -> None:
        self._book, self._rng, self._writer = book, rng, writer
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._unsent: dict[int, bytes] = {}
        self.ended = False
        """Whether the proxy has ended the connection: the library sends nothing more."""

    def on_event(self, event: h2.events.Event) -> None:
        """Take what came."""
        number = getattr(event, "stream_id", 0) or 0
        self.ended |= isinstance(event, h2.events.ConnectionTerminated)
        if isinstance(event, h2.events.RequestReceived):
            self._heads[number], self._bodies[number] = dict(event.headers), bytearray()
        elif isinstance(event, h2.events.DataReceived):
            if number in self._bodies:
                self._bodies[number] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.StreamEnded) and number in self._heads:
            head = self._heads.pop(number)
            # (Not before the end: the library takes trailers on a stream that it has reset for an error.)
            if "/odd/" in head[":path"] and self._rng.random() < 0.9:
                self._break(number)
                return
            data = self._book.received(head[":method"], head[":path"], bytes(self._bodies[number]))
            self.h2.send_headers(number, [(":status", "200")], end_stream=not data)
            if data:
                self._unsent[number] = data
        elif isinstance(event, h2.events.StreamReset):
            for each in (self._heads, self._bodies, self._unsent):
                each.pop(number, None)

    def flush(self) -> None:
        """Send bodies as far as there is room."""
        for number in list(self._unsent):
            with suppress(h2.exceptions.StreamClosedError):
                self._send(number, self._unsent.pop(number))
        self._writer.write(self.h2.data_to_send())

    def _send(self, number: int, data: bytes) -> None:
        while data and (room := self.h2.local_flow_control_window(number)) > 0:
            size = min(room, self.h2.max_outbound_frame_size, self._rng.choice((1, 100, 16_384)))
            self.h2.send_data(number, data[:size], end_stream=size >= len(data))
            data = data[size:]
        if data:
            self._unsent[number] = data

    def _break(self, number: int) -> None:
        """Do something wrong with a stream. (What hurts the streams beside it is for ``odd`` alone.)"""
        how = self._rng.choice(("reset", "refuse", "head", "cut", "trailers"))
        if how in ("reset", "refuse"):
            self.h2.reset_stream(number, 7 if how == "refuse" else 2)
            return
        if how == "head":
            self.h2.send_headers(number, [(":status", "200"), ("content-length", "5")])
            self.h2.send_data(number, b"hello and more", end_stream=True)
            return
        self.h2.send_headers(number, [(":status", "200")])
        self.h2.send_data(number, b"hello")
        if how == "cut":
            self.h2.reset_stream(number, 2)
        else:
            self.h2.send_headers(number, [("x-trailer", "t")], end_stream=True)
