"""Codecs: bytes of the wire to heads, body chunks and trailers, and back. No IO, no clock."""
