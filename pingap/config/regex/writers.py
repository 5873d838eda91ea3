"""Writers that turn a syntax tree into the syntax of RE2 or of Python's ``re``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pingap.config.regex.sets import (
    POSIX,
    UnwritableError,
    class_text,
    is_plain,
    named_text,
    ranges_of,
)
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
    Range,
    Repeat,
)

_BEYOND_ASCII = {ord("k"): 0x212A, ord("K"): 0x212A, ord("s"): 0x17F, ord("S"): 0x17F}
"""Letters that are also those of characters beyond ASCII in another case."""


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

    Case is ignored without ``(?i)``: Python does not fold as Rust does (``i`` and U+0130).

    :param multi_line: ``$`` also matches before a newline.
    """

    def __init__(self, *, multi_line: bool) -> None:
        # Without (?m), Python's $ also matches before a newline at the end.
        end = "$" if multi_line else r"\Z"
        starts, ends = r"\b(?=\w)", r"\b(?<=\w)"
        # Before 3.14, \B does not match in an empty text.
        super().__init__({r"\z": r"\Z", "$": end, r"\B": r"(?!\b)", r"\<": starts, r"\>": ends})

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
        if len(one.items) == 1 and not one.negated:
            (item,) = one.items
            if isinstance(item, tuple) and item[0] == item[1]:
                char = _escaped(item[0])
                if not (one.ignores_case and chr(item[0]).isalpha()):
                    return char
        pieces = [
            self._item(item, ignores_case=one.ignores_case)
            for item in one.items
            if isinstance(item, Named | tuple)
        ]
        return f"[{'^' if one.negated else ''}{''.join(pieces)}]"

    def _item(self, item: Named | Range, *, ignores_case: bool) -> str:
        if not isinstance(item, Named):
            text = _between(*item)
            return text + _other_case(*item) if ignores_case else text
        if item.kind == "perl":
            if item.name == "s":  # Python's also contains \x1c to \x1f
                return "".join(_between(*pair) for pair in ranges_of(item))
            return "\\" + (item.name.upper() if item.negated else item.name)
        if item.kind == "posix" and not item.negated and not ignores_case:
            return POSIX[item.name]
        raise UnwritableError("a class that only RE2 has")

    def flags(self, text: str) -> str:
        """Raise: ``re`` supports flags only at the beginning of an expression."""
        raise UnwritableError("flags in the middle")


def _between(first: int, last: int) -> str:
    return _escaped(first) if first == last else f"{_escaped(first)}-{_escaped(last)}"


def _other_case(first: int, last: int) -> str:
    """Return the characters that are those of a range in another case.

    :raises UnwritableError: only RE2 knows them.
    """
    if last > 127:
        raise UnwritableError("case beyond ASCII")
    codes = range(first, last + 1)
    found = {ord(chr(code).swapcase()) for code in codes}.difference(codes)
    found.update(beyond for char, beyond in _BEYOND_ASCII.items() if char in codes)
    return "".join(map(_escaped, sorted(found)))


def _escaped(code: int) -> str:
    if code < 128:
        char = chr(code)
        return char if char.isalnum() or char in "/_" else f"\\x{code:02x}"
    return f"\\U{code:08x}"
