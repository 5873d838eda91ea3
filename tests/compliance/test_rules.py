"""Every rule of the lists has a test that exists, or a reason why it has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import rules


@pytest.mark.parametrize("path", rules.lists(), ids=lambda path: path.stem)
def test_every_rule_has_a_test_or_a_reason(path: Path) -> None:
    found = rules.read(path)
    problems = [
        f"{rule.section} {rule.text!r:.60}: {problem}"
        for rule in found
        if (problem := rules.problem(rule))
    ]
    assert problems == []


@pytest.mark.parametrize("path", rules.lists(), ids=lambda path: path.stem)
def test_the_rules_stand_in_the_order_of_the_sections(path: Path) -> None:
    places = [rule.place for rule in rules.read(path)]
    assert places == sorted(places)


@pytest.mark.parametrize("path", rules.lists(), ids=lambda path: path.stem)
def test_no_rule_stands_twice(path: Path) -> None:
    found = [(rule.section, rule.text) for rule in rules.read(path)]
    assert len(found) == len(set(found))
