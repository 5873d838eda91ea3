"""What a client does wrong in HTTP/2, and how it is told (RFC 9113, 5.4 and 7), without IO."""

from __future__ import annotations

from typing import Final

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
INTERNAL_ERROR: Final = 0x2
FLOW_CONTROL_ERROR: Final = 0x3
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
ENHANCE_YOUR_CALM: Final = 0xB


class Http2Error(Exception):
    """The peer broke the protocol so that the connection ends, with GOAWAY.

    :param code: the error code that is sent.
    :param message: what is wrong; sent as debug data.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamError(Exception):
    """The peer broke the protocol on one stream, which ends with RST_STREAM; the others go on.

    :param code: the error code that is sent.
    :param message: what is wrong.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
