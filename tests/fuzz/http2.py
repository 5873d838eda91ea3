"""HTTP/2: several streams with exact answers to all of them, then frames that are broken."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events

from fuzz.content import Ask
from fuzz.http1 import check
from fuzz.mutate import mutate
from fuzz.peer import Peer, Wrong


class Session:
    """A connection of a client.

    :param peer: the connection below.
    :param scheme: ``http`` or ``https``.
    """

    def __init__(self, peer: Peer, scheme: str) -> None:
        self.peer, self.scheme = peer, scheme
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.open: dict[int, Ask] = {}
        self.unsent: dict[int, bytes] = {}
        self.status: dict[int, int] = {}
        self.bodies: dict[int, bytearray] = {}

    def begin(self, ask: Ask) -> int:
        """Open a stream for a request."""
        number = self.h2.get_next_available_stream_id()
        head = [(":method", ask.method), (":scheme", self.scheme), (":authority", "fuzz.test")]
        head.append((":path", ask.target))
        if ask.size is not None and self.peer.rng.random() < 0.5:
            head.append(("content-length", str(ask.size)))
        self.h2.send_headers(number, head, end_stream=ask.size is None)
        self.open[number], self.bodies[number] = ask, bytearray()
        if ask.size is not None:
            self.unsent[number] = ask.body
        return number

    async def flush(self) -> None:
        """Send bodies as far as there is room."""
        for number, data in list(self.unsent.items()):
            while True:
                room = self.h2.local_flow_control_window(number)
                size = min(room, self.h2.max_outbound_frame_size, len(data))
                if data and size <= 0:
                    break
                piece, data = data[:size], data[size:]
                self.h2.send_data(number, piece, end_stream=not data)
                if not data:
                    break
            if data:
                self.unsent[number] = data
            else:
                del self.unsent[number]
        await self.peer.write(self.h2.data_to_send())

    async def finish(self) -> None:
        """Go on until every stream has its answer.

        :raises Wrong: one has another.
        """
        while self.open:
            await self.flush()
            data = await self.peer.read()
            if not data:
                raise Wrong(f"the connection ended with {len(self.open)} streams open")
            for event in self.h2.receive_data(data):
                self.on_event(event)
        await self.peer.write(self.h2.data_to_send())

    def on_event(self, event: h2.events.Event) -> None:
        """Take what came."""
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.ResponseReceived):
            self.status[number] = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[number] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.StreamEnded):
            self.unsent.pop(number, None)
            check(self.open.pop(number), self.status[number], bytes(self.bodies[number]))
        elif isinstance(event, h2.events.StreamReset) and number in self.open:
            raise Wrong(f"{self.open[number].target}: reset {event.error_code}")
        elif isinstance(event, h2.events.ConnectionTerminated) and self.open:
            raise Wrong(f"GOAWAY {event.error_code} with {len(self.open)} streams open")


async def polite(session: Session, asks: list[Ask]) -> None:
    """Send requests in parallel, and check the answers."""
    for ask in asks:
        session.begin(ask)
    await session.finish()


async def hostile(session: Session, victims: list[Ask]) -> None:
    """Send broken frames, cancel, give odd room, and leave."""
    rng = session.peer.rng
    for ask in victims:
        number = session.begin(ask)
        if rng.random() < 0.3:
            session.h2.reset_stream(number, rng.choice((0, 2, 8, 11)))
            session.unsent.pop(number, None)
        if rng.random() < 0.3:
            session.h2.increment_flow_control_window(rng.randrange(1, 2**20))
        if rng.random() < 0.2:
            session.h2.ping(b"12345678")
    for number, data in session.unsent.items():
        if session.h2.local_flow_control_window(number) > 1000:
            session.h2.send_data(number, data[: rng.randrange(1000)])
    await session.peer.write(mutate(rng, session.h2.data_to_send()))
    await session.peer.leave()
