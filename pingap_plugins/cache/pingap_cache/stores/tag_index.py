"""Which entries in memory have a tag."""

from __future__ import annotations

from collections.abc import Callable, Generator

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

    def walk(self, tag: str) -> Generator[Kept, None, None]:
        """Yield the entries with a tag; they may be added and taken out meanwhile.

        Close it, so that the index is whole again if the walk ends early.
        """
        ahead = self._by_tag.pop(tag, set())
        kept = None
        try:
            while ahead:
                kept = ahead.pop()
                yield kept
                if self._is_present(kept):
                    self._by_tag.setdefault(tag, set()).add(kept)
                kept = None
        finally:
            left = ahead if kept is None else {kept, *ahead}
            if present := {one for one in left if self._is_present(one)}:
                self._by_tag.setdefault(tag, set()).update(present)
