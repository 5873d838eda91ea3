"""Jobs for the processes that convert images, and the messages that carry them.

Both sides import this module, so it needs nothing but the standard library.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

_LENGTHS: Final = struct.Struct("!II")
LARGEST_HEAD: Final = 64 * 1024
"""Bytes of the first part of a message."""

# What becomes of an image that stays as it is.
NOT_SMALLER: Final = "not_smaller"
BROKEN: Final = "broken"
ANIMATED: Final = "animated"
COLOURS: Final = "colours"
TOO_LARGE: Final = "too_large"
CRASH: Final = "crash"
TIMEOUT: Final = "timeout"
BUSY: Final = "busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How an image is converted.

    :param of_jpeg: types to try for a JPEG before that itself, the best first.
    :param of_png: the same for a PNG.
    :param width: pixels that it has at most; 0 for any number.
    :param height: the same.
    :param cover: whether it is cut to the proportions of width and height.
    :param webp_quality: 0: PNG without loss, JPEG at 80.
    :param max_pixels: a larger one is not decoded.
    :param seconds: how long it may take.
    """

    of_jpeg: tuple[str, ...] = ()
    of_png: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    cover: bool = False
    png_quality: int = 90
    jpeg_quality: int = 80
    webp_quality: int = 0
    avif_quality: int = 75
    avif_speed: int = 3
    max_pixels: int = 25_000_000
    seconds: float = 8.0

    @property
    def is_resizing(self) -> bool:
        """Whether the image becomes smaller on purpose."""
        return bool(self.width or self.height)

    def encode(self) -> bytes:
        """Return bytes that are equal for equal jobs."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> Job:
        """Read what ``encode`` wrote."""
        values: dict[str, Any] = json.loads(data)
        made = {one.name: values[one.name] for one in fields(cls)}
        made["of_jpeg"], made["of_png"] = tuple(made["of_jpeg"]), tuple(made["of_png"])
        return cls(**made)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of an image.

    :param outcome: the type that was made, or why the image stays as it is.
    :param body: the image that was made; empty if it stays as it is.
    :param detail: for the log.
    """

    outcome: str
    body: bytes = b""
    detail: str = ""


class ClosedError(Exception):
    """The other side has closed the connection."""


def send(channel: socket.socket, head: bytes, body: bytes, deadline: float | None = None) -> None:
    """Send a message.

    :param deadline: monotonic seconds; None to wait for any time.
    :raises TimeoutError: the deadline has passed.
    :raises OSError: the other side is gone.
    """
    for part in (_LENGTHS.pack(len(head), len(body)), head, body):
        channel.settimeout(_left(deadline))
        channel.sendall(part)


def receive(
    channel: socket.socket, largest: int, deadline: float | None = None
) -> tuple[bytes, bytes]:
    """Return both parts of the next message.

    :param largest: bytes of the second part.
    :raises ClosedError: there is none.
    :raises TimeoutError: the deadline has passed.
    :raises OSError: the other side is gone.
    :raises ValueError: a part is too large.
    """
    head_size, body_size = _LENGTHS.unpack(_read(channel, _LENGTHS.size, deadline))
    if head_size > LARGEST_HEAD or body_size > largest:
        raise ValueError(f"a message of {head_size} and {body_size} bytes")
    return _read(channel, head_size, deadline), _read(channel, body_size, deadline)


def _read(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        channel.settimeout(_left(deadline))
        count = channel.recv_into(view[done:])
        if not count:
            raise ClosedError
        done += count
    return bytes(data)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 0.001)
