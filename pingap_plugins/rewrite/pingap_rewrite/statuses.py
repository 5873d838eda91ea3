"""Sets of statuses, as operators write them: ``200, 404, 5xx``. Nothing here does IO."""

from __future__ import annotations


class Statuses:
    """A set of statuses; without any entry, all of them.

    :param text: statuses and classes of statuses, separated by commas.
    :raises ValueError: an entry is neither.
    """

    def __init__(self, text: str) -> None:
        self._found: set[int] = set()
        for entry in filter(None, (one.strip() for one in text.split(","))):
            if len(entry) == 3 and entry[0] in "12345" and entry[1:].lower() == "xx":
                self._found.update(range(int(entry[0]) * 100, int(entry[0]) * 100 + 100))
            elif entry.isascii() and entry.isdecimal() and 100 <= int(entry[:4]) <= 599:
                self._found.add(int(entry))
            else:
                raise ValueError(f'status_codes: found "{entry}", expected 100 to 599, or 2xx')

    def __contains__(self, status: int) -> bool:
        """Return whether a status is one of them."""
        return not self._found or status in self._found
