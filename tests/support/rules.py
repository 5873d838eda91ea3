"""The lists of rules (``rfc*.toml``): what an RFC demands of a proxy, and which test holds it."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent.parent
FOLDER: Final = ROOT / "tests" / "compliance"
LEVELS: Final = (
    "MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "REQUIRED", "RECOMMENDED", "MAY", "ought to", "plain"
)  # fmt: skip
SIDES: Final = ("downstream", "upstream", "both")


@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement of an RFC; see ``tests/compliance/README.md`` for the keys."""

    section: str
    level: str
    text: str
    side: str = ""
    test: tuple[str, ...] = ()
    reason: str = ""

    @classmethod
    def of(cls, table: dict[str, Any]) -> Rule:
        """Return the rule of a ``[[rule]]`` table.

        :raises TypeError: an unknown or missing key.
        """
        test = table.pop("test", [])
        return cls(test=tuple([test] if isinstance(test, str) else test), **table)

    @property
    def place(self) -> tuple[int, ...]:
        """The section, for sorting."""
        return tuple(map(int, self.section.split(".")))


def lists() -> list[Path]:
    """Return the files of rules."""
    return sorted(FOLDER.glob("rfc*.toml"))


def read(path: Path) -> list[Rule]:
    """Return the rules of a file."""
    return [Rule.of(table) for table in tomllib.loads(path.read_text())["rule"]]


def problem(rule: Rule) -> str:
    """Return what is wrong with a rule; empty if nothing is."""
    if rule.level not in LEVELS:
        return f"level {rule.level!r}"
    if len(rule.text.split()) < 3:
        return "no text"
    if bool(rule.test) == bool(rule.reason):
        return "needs either tests or a reason"
    if rule.test and rule.side not in SIDES:
        return f"side {rule.side!r}"
    missing = [name for name in rule.test if not exists(name)]
    return f"no such test: {', '.join(missing)}" if missing else ""


def exists(test: str) -> bool:
    """Tell whether ``path::function`` or ``path::function[name of a case]`` is there."""
    path, _, rest = test.partition("::")
    function, bracket, case = rest.partition("[")
    names, texts = _content(ROOT / path)
    return function in names and (not bracket or case.removesuffix("]") in texts)


@cache
def _content(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return the functions of a module, and its text constants: names of cases are among them."""
    if not path.is_file():
        return frozenset(), frozenset()
    nodes = list(ast.walk(ast.parse(path.read_text())))
    return (
        frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef)),
        frozenset(
            node.value
            for node in nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ),
    )
