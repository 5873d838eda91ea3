"""The readers of plain heads: Python's, and the compiled ones if they are installed (``make speedups``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from pingap.protocol import http1_request, http1_response, plain_heads
from pingap.protocol.readers import RequestReader, ResponseReader

try:
    import pingap_speedups
except ImportError:
    pingap_speedups = None  # type: ignore[assignment]

READERS: Final[dict[str, tuple[RequestReader, ResponseReader]]] = {
    name: (module.read_plain_request, module.read_plain_response)
    for name, module in (("python", plain_heads), ("compiled", pingap_speedups))
    if module is not None
}


@contextmanager
def reading_with(name: str) -> Iterator[None]:
    """Let all decoders read plain heads with these readers."""
    with pytest.MonkeyPatch.context() as patch:
        request, response = READERS[name]
        patch.setattr(http1_request, "read_plain_request", request)
        patch.setattr(http1_response, "read_plain_response", response)
        yield
