"""Selects the readers of plain heads: the compiled ones if they are installed, else ``plain_heads``.

The distribution ``pingap-speedups`` (``contrib/speedups``) contains the compiled ones. They are never
required: for any bytes, they return the same as ``plain_heads``, or None. The environment variable
``PINGAP_SPEEDUPS=0`` disables them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Final, TypeAlias

from pingap._version import __version__
from pingap.protocol import plain_heads

RequestReader: TypeAlias = Callable[[bytes], plain_heads.PlainRequest | None]
ResponseReader: TypeAlias = Callable[[bytes], plain_heads.PlainResponse | None]

SWITCH: Final = "PINGAP_SPEEDUPS"


def choose() -> tuple[RequestReader, ResponseReader]:
    """Return the readers of this process; warns if they are installed but cannot be used."""
    if os.environ.get(SWITCH) != "0":
        try:
            import pingap_speedups as compiled
        except ImportError as error:
            if error.name != "pingap_speedups":  # it is installed
                _warn(str(error))
        else:
            # Another version may consider other heads plain.
            if compiled.__version__ == __version__:
                return compiled.read_plain_request, compiled.read_plain_response
            _warn(f"its version is {compiled.__version__}, that of pingap is {__version__}")
    return plain_heads.read_plain_request, plain_heads.read_plain_response


def _warn(why: str) -> None:
    warnings.warn(f"pingap-speedups is not used: {why}", RuntimeWarning, stacklevel=3)


read_plain_request, read_plain_response = choose()
