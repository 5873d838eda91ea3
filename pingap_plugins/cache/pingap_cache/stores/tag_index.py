"""Which entries in memory have a tag."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pingap_cache.stores.kept import Kept


class TagIndex:
    """Entries by tag.

    :param is_present: returns whether an entry is still in the store.
    """

    def __init__(self, is_present: Callable[[Kept], bool]) -> None:
        self._is_present = is_present
        self._by_tag: dict[str, set[Kept]] = {}

    def add(self, kept: Kept) -> None:
        """Add an entry."""
        for tag in kept.tags:
            self._by_tag.setdefault(tag, set()).add(kept)

    def discard(self, kept: Kept) -> None:
        """Take an entry out."""
        for tag in kept.tags:
            if (others := self._by_tag.get(tag)) is not None:
                others.discard(kept)
                if not others:
                    del self._by_tag[tag]

    def walk(self, tag: str) -> Iterator[Kept]:
        """Yield the entries that have a tag now; they may be taken out meanwhile."""
        left = list(self._by_tag.get(tag, ()))
        while left:  # (Popped, so that those that are taken out are freed one by one.)
            if self._is_present(kept := left.pop()):
                yield kept
