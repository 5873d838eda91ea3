"""Request targets: the path that is matched, for every version of HTTP, without IO."""

from __future__ import annotations

from typing import Protocol

from pingap.http.errors import BadRequest
from pingap.http.paths import InvalidPath, PathRules, as_sent, is_odd


class Targeted(Protocol):
    """The head of a request."""

    target: str
    path: str
    other_paths: tuple[str, ...]
    path_danger: str
    received_target: str


def read_path(head: Targeted, rules: PathRules) -> None:
    """Replace the path of a head, which is as sent, by the one that is matched.

    :raises BadRequest: it is rejected.
    """
    sent = head.path
    if not is_odd(sent):
        return
    try:
        reading = rules.read(sent)
    except InvalidPath as error:
        raise BadRequest(f"Invalid request target: {error}") from None
    head.path, head.other_paths, head.path_danger = reading.path, reading.others, reading.danger
    if rules.forwards_normalised:
        head.received_target = head.target
        head.target = as_sent(head.path) + head.target[len(sent) :]
