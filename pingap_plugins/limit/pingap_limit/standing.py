"""What is left of a limit, as far as it can be known."""

from __future__ import annotations

from typing import NamedTuple


class Standing(NamedTuple):
    """Where a client stands after a request.

    :param passed: the request was within the limit.
    :param used: what the client has used in the interval, this request included.
    :param remaining: requests that would pass now.
    :param reset_after: seconds until there is more, or, for a refused request, until one may pass.
    """

    passed: bool
    used: float
    remaining: int
    reset_after: float


class StorageAway(Exception):
    """Redis cannot be reached, or does not answer in time."""
