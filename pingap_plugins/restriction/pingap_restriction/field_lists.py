"""Lists that a header field is compared with: the decision is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from pingap import Request, Response, hookimpl
from pingap_restriction.field_values import values_of
from pingap_restriction.refusals import ListType, RefusalSettings, Restriction


class FieldListSettings(RefusalSettings):
    """The keys that such plugins share."""

    type: ListType = "allow"
    """``allow``: only requests that are found in the list may pass. ``deny``: they are refused."""


class FieldRestriction(Restriction):
    """Base of the plugins that compare a header field with a list.

    A request without the field is not found in any list.

    :param is_listed: returns whether a value is in the list.
    """

    field_key: ClassVar[bytes]
    """The name of the field in lower case."""

    def __init__(
        self, settings: FieldListSettings, entries: Sequence[str], is_listed: Callable[[str], bool]
    ) -> None:
        super().__init__(settings)
        self._allows = settings.type == "allow"
        if self._allows and not entries:
            raise ValueError('type = "allow" with an empty list refuses every request')
        self._is_listed = is_listed

    @hookimpl
    def request(self, request: Request) -> Response | None:
        """Refuse the request, or let it pass."""
        values = values_of(request.headers, self.field_key)
        return None if passes(values, self._is_listed, allows=self._allows) else self.refuse()


def passes(values: Sequence[str], is_listed: Callable[[str], bool], *, allows: bool) -> bool:
    """Return whether a request may pass.

    The upstream may use any line of a field that is sent several times, so all of them must be allowed, and
    none may be denied.
    """
    if allows:
        return bool(values) and all(map(is_listed, values))
    if len(values) > 1 and is_listed(
        ", ".join(values)
    ):  # as upstreams that join the lines see them
        return False
    return not any(map(is_listed, values))
