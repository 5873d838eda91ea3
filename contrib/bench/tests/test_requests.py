"""Requests that differ, and their header blocks."""

from __future__ import annotations

from random import Random

from h2_heads import Encoder
from hpack import Decoder
from mixed import CODINGS, HOST, request


def test_no_two_requests_are_alike() -> None:
    random = Random(1)
    made = [request(random) for _ in range(500)]
    for values in ([one.target for one in made], [one.trace for one in made]):
        assert len(set(values)) == len(made)
    assert len({one.head for one in made}) == len(made)


def test_header_blocks_are_what_they_were_made_from() -> None:
    """As many as make the dynamic table overflow, again and again."""
    random, encoder, decoder = Random(1), Encoder(), Decoder()
    for _ in range(500):
        one = request(random)
        names = {":method": "GET", ":scheme": "http", ":authority": HOST, ":path": one.target}
        names |= {"user-agent": one.agent, "accept": one.accept, "accept-language": one.language}
        fields = [*names.items(), ("accept-encoding", CODINGS)]
        fields += [("cookie", pair) for pair in one.cookies] + [("traceparent", one.trace)]
        assert decoder.decode(encoder.request(one)) == fields
