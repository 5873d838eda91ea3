"""Writers that turn a syntax tree into the syntax of RE2 or of Python's ``re``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pingap.config.regex.sets import POSIX, class_text, is_plain, named_text
from pingap.config.regex.syntax import (
    Alternation,
    Assertion,
    Class,
    Concatenation,
    Dot,
    Flags,
    Group,
    Named,
    Node,
    Repeat,
)


class UnwritableError(Exception):
    """The engine does not support a part of the expression; the message says which."""


class Re2Writer:
    """Writes RE2's syntax."""

    def __init__(self, assertions: Mapping[str, str] = MappingProxyType({})) -> None:
        self._assertions = assertions

    def write(self, node: Node) -> str:
        """Return the expression as text.

        :raises UnwritableError: the engine does not support it.
        """
        match node:
            case Class():
                return self.char_class(node)
            case Named():
                return f"[{named_text(node)}]"
            case Dot():
                return "."
            case Flags(text):
                return self.flags(text)
            case Assertion(text):
                return self.assertion(text)
            case Repeat():
                return self._repeat(node)
            case Group(below, name, flags):
                opening = f"(?P<{name}>" if name else f"(?{flags}:" if name is None else "("
                return f"{opening}{self.write(below)})"
            case Concatenation(nodes):
                return "".join(map(self.write, nodes))
            case Alternation(nodes):
                return "|".join(map(self.write, nodes))

    def char_class(self, one: Class) -> str:
        """Return a set of characters."""
        return class_text(one)

    def flags(self, text: str) -> str:
        """Return flags for the rest of a group."""
        return f"(?{text})" if text else ""

    def assertion(self, text: str) -> str:
        """Return an assertion, such as ``^``."""
        if text in (r"\<", r"\>") and text not in self._assertions:
            raise UnwritableError(f"{text} is not supported in an expression like this; use \\b")
        return self._assertions.get(text, text)

    def _repeat(self, repeat: Repeat) -> str:
        inner = self.write(repeat.node)
        if not isinstance(repeat.node, Class | Named | Dot | Group):
            inner = f"(?:{inner})"
        bounds = (repeat.least, repeat.most)
        short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get(bounds)
        if short is None:
            most = "" if repeat.most is None else repeat.most
            short = f"{{{repeat.least},{most}}}"
        return inner + short + ("?" if repeat.lazy else "")


class PythonWriter(Re2Writer):
    """Writes the syntax of ``re``. The caller has checked that matching takes linear time.

    :param multi_line: ``$`` also matches before a newline.
    """

    def __init__(self, *, multi_line: bool) -> None:
        # Without (?m), Python's $ also matches before a newline at the end.
        end = "$" if multi_line else r"\Z"
        super().__init__({r"\z": r"\Z", "$": end, r"\<": r"\b(?=\w)", r"\>": r"\b(?<=\w)"})

    def write(self, node: Node) -> str:
        """Return the expression as text.

        :raises UnwritableError: the engine does not support it.
        """
        if isinstance(node, Named):
            return self.char_class(Class((node,)))
        return super().write(node)

    def char_class(self, one: Class) -> str:
        """Return a set of characters.

        :raises UnwritableError: only RE2 supports the set.
        """
        if not is_plain(one):
            raise UnwritableError("a set inside of a set")
        pieces = [self._item(item) for item in one.items if isinstance(item, Named | tuple)]
        if not one.negated and len(one.items) == 1 and isinstance(one.items[0], tuple):
            first, last = one.items[0]
            if first == last:
                return _escaped(first)
        return f"[{'^' if one.negated else ''}{''.join(pieces)}]"

    def _item(self, item: Named | tuple[int, int]) -> str:
        if not isinstance(item, Named):
            first, last = map(_escaped, item)
            return first if first == last else f"{first}-{last}"
        if item.kind == "perl":
            return "\\" + (item.name.upper() if item.negated else item.name)
        if item.kind == "posix" and not item.negated:
            return POSIX[item.name]
        raise UnwritableError("a class that only RE2 has")

    def flags(self, text: str) -> str:
        """Raise: ``re`` supports flags only at the beginning of an expression."""
        raise UnwritableError("flags in the middle")


def _escaped(code: int) -> str:
    if code < 128:
        char = chr(code)
        return char if char.isalnum() or char in "/_" else f"\\x{code:02x}"
    return f"\\U{code:08x}"
