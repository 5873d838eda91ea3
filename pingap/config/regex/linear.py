"""Which expressions Python's ``re`` matches in linear time.

``re`` backtracks: some expressions take exponential time for text that a client chooses. It is used only
for expressions where a simple argument excludes this:

- each unbounded repetition repeats single characters, and is at the top level of an expression that
  begins with ``^``;
- the part after it begins with a character that it cannot match, so that backtracking into it fails
  at once. The last repetition needs no such end: the work after it is bounded for each character;
- everything else (alternatives, optional parts) can match in a few ways only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from pingap.config.regex.sets import POSIX
from pingap.config.regex.syntax import (
    Alternation,
    Assertion,
    Class,
    Concatenation,
    Dot,
    Flags,
    Group,
    Item,
    Named,
    Node,
    Repeat,
)

MOST_WAYS: Final = 64
"""The number of ways in which all bounded parts together may match."""
MOST_STEPS: Final = 256
"""How many characters may be compared at each character of a text where matching may begin or go on."""
_MOST_STEPS_ONCE: Final = 10_000

Signs: TypeAlias = "frozenset[int]"
"""ASCII characters, and ``OTHER`` for all that are not ASCII."""

OTHER: Final = 128
_ALL: Final[Signs] = frozenset(range(129))
_WITH_OTHERS: Final[Signs] = frozenset({OTHER, *map(ord, "iksIKS")})


def is_linear(tree: Node, *, ignores_case: bool = False, multi_line: bool = False) -> bool:
    """Return whether a search with ``re`` takes linear time at most."""
    parts = list(_flat(tree))
    endless = [place for place, part in enumerate(parts) if _is_endless(part)]
    ways = _product(1 if _is_endless(part) else _ways(part) for part in parts)
    if ways > MOST_WAYS or _steps(parts) > _MOST_STEPS_ONCE:
        return False
    beginnings = [Assertion(r"\A")] if multi_line else [Assertion("^"), Assertion(r"\A")]
    if not parts or parts[0] not in beginnings:
        return not endless and _steps(parts) <= MOST_STEPS
    if endless and ways * _steps(parts[endless[0] :]) > MOST_STEPS:
        return False
    return all(_ends_clearly(parts, place, ignores_case=ignores_case) for place in endless[:-1])


def _flat(node: Node) -> Iterator[Node]:
    """Yield the parts of the top level, including those in groups without repetition or alternatives."""
    if isinstance(node, Concatenation):
        for below in node.nodes:
            yield from _flat(below)
    elif isinstance(node, Group) and not isinstance(node.node, Alternation):
        yield from _flat(node.node)
    else:
        yield node


def _is_endless(part: Node) -> bool:
    return isinstance(part, Repeat) and part.most is None and _is_single(part.node)


def _is_single(node: Node) -> bool:
    return isinstance(node, Class | Named | Dot)


def _ways(node: Node) -> int:
    """Return in how many ways a bounded part can match at one position; too many if it is unbounded."""
    if isinstance(node, Concatenation):
        return _product(map(_ways, node.nodes))
    if isinstance(node, Alternation):
        return sum(map(_ways, node.nodes))
    if isinstance(node, Group):
        return _ways(node.node)
    if isinstance(node, Repeat):
        if node.most is None:
            return MOST_WAYS + 1
        inner = _ways(node.node)
        if inner == 1:
            return node.most - node.least + 1
        return _product([inner] * node.most) * (node.most - node.least + 1)
    return 1


def _product(numbers: Iterable[int]) -> int:
    product = 1
    for number in numbers:
        product = min(product * number, MOST_WAYS + 1)
    return product


def _steps(parts: Iterable[Node]) -> int:
    """Return how many characters may be compared with the parts, tried in all ways, or more."""
    steps, ways = 0, 1
    for part in parts:
        steps += ways * _steps_of(part)
        ways = _product((ways, 1 if _is_endless(part) else _ways(part)))
    return steps


def _steps_of(node: Node) -> int:
    if isinstance(node, Concatenation):
        return _steps(node.nodes)
    if isinstance(node, Alternation):
        return sum(map(_steps_of, node.nodes))
    if isinstance(node, Group):
        return 1 + _steps_of(node.node)
    if isinstance(node, Repeat) and node.most is not None:
        return 1 + node.most * _steps_of(node.node) * _ways(node)
    return 1


def _ends_clearly(parts: list[Node], place: int, *, ignores_case: bool) -> bool:
    repeat, following = parts[place], parts[place + 1]
    assert isinstance(repeat, Repeat)
    if isinstance(following, Repeat) and following.least:
        following = following.node
    if not _is_single(following):
        return False
    signs, after = _signs(repeat.node), _signs(following)
    return not (_in_any_case(signs) & _in_any_case(after) if ignores_case else signs & after)


def _in_any_case(signs: Signs) -> Signs:
    cased = {ord(chr(sign).swapcase()) for sign in signs if sign != OTHER}
    if not _WITH_OTHERS.isdisjoint(signs):  # for example, the Kelvin sign matches ``k``
        cased |= _WITH_OTHERS
    return signs | cased


def _signs(node: Node) -> Signs:
    """Return a superset of the characters that a part can match."""
    if isinstance(node, Class):
        signs = frozenset().union(*map(_item_signs, node.items))
        # Both a set and its negation may contain non-ASCII characters.
        return _ALL - (signs - {OTHER}) if node.negated else signs
    return _item_signs(node) if isinstance(node, Named) else _ALL


def _item_signs(item: Item) -> Signs:
    if isinstance(item, tuple):
        first, last = item
        ascii_part = frozenset(range(first, min(last, 127) + 1))
        return ascii_part | {OTHER} if last > 127 else ascii_part
    if isinstance(item, Named) and item.kind != "unicode":
        return _named_signs(item)
    return _ALL


def _named_signs(named: Named) -> Signs:
    if named.kind == "posix":
        signs = frozenset(
            code for code in range(128) if re.match(f"[{POSIX[named.name]}]", chr(code))
        )
        return _ALL - signs if named.negated else signs
    text = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t-\r "}[named.name]
    signs = frozenset(code for code in range(128) if re.match(f"[{text}]", chr(code)))
    return (_ALL - signs if named.negated else signs) | {OTHER}


def leading_flags(tree: Node) -> tuple[str, Node]:
    """Return the flags that an expression begins with, and the rest of it."""
    if isinstance(tree, Flags):
        return tree.text, Concatenation()
    if isinstance(tree, Concatenation) and tree.nodes and isinstance(tree.nodes[0], Flags):
        return tree.nodes[0].text, Concatenation(tree.nodes[1:])
    return "", tree
