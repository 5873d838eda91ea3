"""Changes one table in a TOML text, statement by statement."""

from __future__ import annotations

from typing import Any

from pingap.config.editing.values import same, written_key, written_table, written_value
from pingap.config.positions import Statement, statements
from pingap.config.problem import KeyPath


class UnusualFormError(Exception):
    """A table is not written as a table of its own: as an inline table, or with dotted keys."""


class TableEdit:
    """Collects changes of a text.

    :param text: a TOML document.
    :raises ValueError: it is not TOML.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._statements = statements(text)
        self._changes: list[tuple[int, int, str]] = []

    def result(self) -> str:
        """Return the changed text."""
        text = self._text
        for start, end, new in sorted(self._changes, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def add(self, path: KeyPath, table: dict[str, Any]) -> None:
        """Add a table after the last one of its section, or at the end."""
        written = written_table(path, table)
        section = [one for one in self._headers() if one.path[:1] == path[:1]]
        if section:
            self._insert_after(section[-1], written)
        else:
            kept = self._text.rstrip()
            self._changes.append(
                (len(kept), len(self._text), f"\n\n{written}" if kept else written)
            )

    def remove(self, path: KeyPath) -> None:
        """Remove a table, with everything below it and the comment lines directly above."""
        covered = -1
        for one in self._below(path):
            if one.start < covered:
                continue
            if one.is_header:
                start, covered = self._lead(one), self._end_of_block(one)
            else:
                start, covered = self._line_start(one.start), self._next_line(one.end)
            self._changes.append((start, covered, ""))

    def update(self, path: KeyPath, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Replace the keys of a table that differ.

        :raises UnusualFormError: it is not written as a table of its own.
        """
        header = self._header(path)
        if header is None:
            raise UnusualFormError
        added: dict[str, Any] = {}
        for key in old.keys() - new.keys():
            self.remove((*path, key))
        for key, value in new.items():
            if key not in old:
                added[key] = value
            elif not same(old[key], value) and not self._change((*path, key), old[key], value):
                self.remove((*path, key))
                added[key] = value
        if added:
            lines = "".join(
                f"\n{written_key((key,))} = {written_value(value)}" for key, value in added.items()
            )
            at = self._line_end(self._last_kept(header).end)
            self._changes.append((at, at, lines))

    def _change(self, path: KeyPath, old: Any, new: Any) -> bool:
        """Change a value where it is written; return False if it has to be written anew."""
        places = self._below(path)
        if len(places) == 1 and places[0].path == path and not places[0].is_header:
            self._changes.append((places[0].value, places[0].end, written_value(new)))
            return True
        if isinstance(old, dict) and isinstance(new, dict) and self._header(path) is not None:
            self.update(path, old, new)
            return True
        if isinstance(old, list) and isinstance(new, list) and self._header((*path, 0)) is not None:
            return self._change_array(path, old, new)
        return False

    def _change_array(self, path: KeyPath, old: list[Any], new: list[Any]) -> bool:
        """Change an array of tables, one table after the other."""
        if not new or not all(isinstance(one, dict) for one in new):
            return False
        for index, (before, after) in enumerate(zip(old, new, strict=False)):
            if not same(before, after):
                self.update((*path, index), before, after)
        for index in range(len(new), len(old)):
            self.remove((*path, index))
        last = [one for one in self._below(path) if one.is_header][-1]
        more = [written_table((*path, 0), one) for one in new[len(old) :]]
        if more:
            self._insert_after(last, "\n".join(more))
        return True

    # Places in the text.

    def _headers(self) -> list[Statement]:
        return [one for one in self._statements if one.is_header]

    def _header(self, path: KeyPath) -> Statement | None:
        return next((one for one in self._headers() if one.path == path), None)

    def _below(self, path: KeyPath) -> list[Statement]:
        return [one for one in self._statements if one.path[: len(path)] == path]

    def _block(self, header: Statement) -> list[Statement]:
        """Return a header and the keys that follow it."""
        start = self._statements.index(header)
        rest = self._statements[start + 1 :]
        count = next((n for n, one in enumerate(rest) if one.is_header), len(rest))
        return [header, *rest[:count]]

    def _last_kept(self, header: Statement) -> Statement:
        """Return the last statement of a block that is not removed."""
        removed = [(start, end) for start, end, new in self._changes if not new]
        kept = [
            one
            for one in self._block(header)
            if not any(start <= one.start < end for start, end in removed)
        ]
        return kept[-1]

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        end = self._text.find("\n", at)
        return len(self._text) if end < 0 else end

    def _next_line(self, at: int) -> int:
        return min(self._line_end(at) + 1, len(self._text))

    def _lead(self, header: Statement) -> int:
        """Return where the comment lines directly above a header begin."""
        start = self._line_start(header.start)
        before = self._statements.index(header) - 1
        limit = self._next_line(self._statements[before].end) if before >= 0 else 0
        while start > limit:
            above = self._line_start(start - 1)
            if not self._text[above:start].lstrip().startswith("#"):
                break
            start = above
        return start

    def _end_of_keys(self, header: Statement) -> int:
        """Return where a block ends, with the comment lines that follow it directly."""
        block = self._block(header)
        end = self._next_line(block[-1].end)
        after = self._statements.index(block[-1]) + 1
        limit = len(self._text)
        if after < len(self._statements):
            limit = self._lead(self._statements[after])
        while end < limit and self._text[end : self._line_end(end)].strip():
            end = self._next_line(end)
        return end

    def _end_of_block(self, header: Statement) -> int:
        """Return where a block ends, with the blank lines that follow it."""
        end = self._end_of_keys(header)
        while end < len(self._text) and not self._text[end : self._line_end(end)].strip():
            end = self._next_line(end)
        return end

    def _insert_after(self, header: Statement, written: str) -> None:
        end = self._end_of_keys(header)
        before = "\n" if self._text[end - 1] == "\n" else "\n\n"
        rest = self._text[end : self._line_end(end)].strip()
        self._changes.append((end, end, f"{before}{written}" + ("\n" if rest else "")))
