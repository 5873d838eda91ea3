r"""Regular expressions of the configuration: Rust's syntax, matched in linear time.

The configuration uses the syntax of the Rust crate ``regex``, which always matches in linear time.
Python's ``re`` backtracks, so it is used only for expressions where that is harmless (``linear``); all
others use RE2, where a search takes about 5 us longer. Expressions that neither engine supports are
rejected, so that none silently changes its meaning.

Beyond ASCII, ``\w`` of ``re`` differs from Rust's, so texts that are not ASCII go to RE2; ``\b`` of RE2
only knows ASCII, so an expression with it uses ``re`` as long as that is linear.
"""

from __future__ import annotations

import re
from typing import Final

import re2

from pingap.config.problem import shortened
from pingap.config.regex.linear import is_linear, leading_flags
from pingap.config.regex.parser import Parser, SyntaxFaultError
from pingap.config.regex.pattern import AsciiPattern, LinearPattern, Pattern
from pingap.config.regex.sets import UnwritableError, options
from pingap.config.regex.syntax import Assertion, Class, Flags, Group, Named, Node, walk
from pingap.config.regex.writers import PythonWriter, Re2Writer

__all__ = ["LinearPattern", "Pattern", "compile_regex"]

_AT_WORDS: Final = (r"\b", r"\B", r"\<", r"\>")


def compile_regex(text: str) -> Pattern:
    """Compile an expression written in Rust syntax.

    :raises ValueError: the expression is invalid, or uses look-around, back-references or ``(?-u)``; the
        message is for the operator and gives the position, counted from 1.
    """
    try:
        tree = Parser(text).parse()
        fast = _python(tree)
        if fast is None:
            return LinearPattern(re2.compile(Re2Writer().write(tree), options()))
        return AsciiPattern(fast, Re2Writer().write(tree)) if _has_words(tree) else fast
    except SyntaxFaultError as fault:
        where = "" if fault.at is None else f" at character {fault.at + 1}"
        raise _invalid(text, f"{fault}{where}") from None
    except UnwritableError as missing:
        raise _invalid(text, str(missing)) from None
    except re2.error as error:
        reason = error.args[0]
        raise _invalid(
            text, reason.decode() if isinstance(reason, bytes) else str(reason)
        ) from None
    except (OverflowError, RecursionError):
        raise _invalid(text, "too large") from None


def _invalid(text: str, reason: str) -> ValueError:
    return ValueError(f"{shortened(text)} is not a regular expression: {reason}")


def _has_words(tree: Node) -> bool:
    r"""Return whether there is a ``\w`` or ``\W``, and nothing that RE2 knows less of."""
    nodes = list(walk(tree))
    if any(isinstance(node, Assertion) and node.text in _AT_WORDS for node in nodes):
        return False
    items = (item for node in nodes if isinstance(node, Class) for item in node.items)
    return any(isinstance(one, Named) and one.name == "w" for one in (*nodes, *items))


def _python(tree: Node) -> re.Pattern[str] | None:
    """Compile with ``re``; None if that could be slow, or ``re`` does not support the expression."""
    flags, rest = leading_flags(tree)
    inner = "".join(
        node.text if isinstance(node, Flags) else node.flags
        for node in walk(rest)
        if isinstance(node, Flags | Group)
    )
    if "-" in flags or "U" in flags or inner:
        return None
    multi_line = "m" in flags
    if not is_linear(rest, ignores_case="i" in flags, multi_line=multi_line):
        return None
    try:
        written = PythonWriter(multi_line=multi_line).write(rest)
    except UnwritableError:
        return None
    flags = flags.replace("i", "")
    return re.compile(f"(?{flags}){written}" if flags else written)
