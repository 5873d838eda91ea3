"""Hazards in the order of a location's plugins.

Judged by the declarations of plugins (``Plugin.guard``, ``before``, ``after``, ``answers``), never by
their names. A plugin may answer before a guard if it declares its answers ``public``, or if the hook
declares that it never answers (``-> None``). Hazards are only reported; nothing is changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pingap.hookspecs import PHASES
from pingap.plugins.chains import Instance

_ANSWERING = ("request", "proxy_upstream")


@dataclass(frozen=True, slots=True)
class Hazard:
    """Two plugins of a location in a harmful order.

    :param early: name of the instance that runs too early.
    :param late: name of the instance that should have run before it.
    :param harm: what is wrong, naming both.
    :param advice: what to do.
    """

    early: str
    late: str
    harm: str
    advice: str

    def __str__(self) -> str:
        return f"{self.harm}: {self.advice}"


def hazards(instances: Sequence[Instance]) -> list[Hazard]:
    """Find the hazards among the plugins of one location.

    :param instances: in the order in which they run.
    :returns: at most one for each pair of plugins; bypassed guards come before violated preferences.
    """
    plugins = [one.plugin for one in instances]
    if not any(plugin.guard or plugin.before or plugin.after for plugin in plugins):
        return []
    found: dict[tuple[str, str], Hazard] = {}
    for hazard in (*_defeated_guards(instances), *_broken_wishes(instances)):
        found.setdefault((hazard.early, hazard.late), hazard)
    return list(found.values())


def implementations(instance: Instance) -> list[tuple[str, Callable[..., Any]]]:
    """Return the phases an instance takes part in, in their order, each with its function.

    The key ``step`` moves the function of the default phase to the chosen one.
    """
    plugin = instance.plugin
    active = plugin.active_phases()
    found = []
    for method in PHASES:
        function = getattr(type(plugin), method, None)
        if function is None or (active is not None and method not in active):
            continue
        if not hasattr(function, "pingap_impl"):  # the mark of @hookimpl
            continue
        moved = instance.step and plugin.steps[:1] == (method,)
        found.append((instance.step if moved and instance.step else method, function))
    return sorted(found, key=lambda one: PHASES.index(one[0]))


def _defeated_guards(instances: Sequence[Instance]) -> Iterator[Hazard]:
    """A guard is bypassed by a plugin that answers first: no later phase runs then."""
    guards = [
        (_Place(PHASES.index(phase), at), one)
        for at, one in enumerate(instances)
        if one.plugin.guard and (phase := _guarding_phase(one)) is not None
    ]
    for at, one in enumerate(instances):
        if one.plugin.guard or one.plugin.answers == "public":
            continue
        for phase in _answering_phases(one):
            for place, guard in guards:
                if _Place(PHASES.index(phase), at) < place:
                    harm = f'"{one.name}" may answer before the guard "{guard.name}" is asked'
                    advice = _advice(one, phase, guard, PHASES[place.phase])
                    yield Hazard(one.name, guard.name, harm, advice)


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """When a function runs: by phase, and within a phase by the order of the list."""

    phase: int
    at: int


def _guarding_phase(guard: Instance) -> str | None:
    """Return the phase in which a guard decides: one that can answer, or else the first one."""
    phases = [phase for phase, _ in implementations(guard)]
    deciding = [phase for phase in phases if phase in _ANSWERING]
    if not deciding and "early_request" in phases:  # it refuses by raising an HTTPError
        return "early_request"
    return deciding[0] if deciding else None


def _answering_phases(instance: Instance) -> list[str]:
    return [
        phase
        for phase, function in implementations(instance)
        if phase in _ANSWERING and not _never_answers(function)
    ]


def may_answer(instance: Instance) -> bool:
    """Return whether a plugin can answer a request without an upstream."""
    return bool(_answering_phases(instance))


def _never_answers(function: Callable[..., Any]) -> bool:
    """Return whether the signature has ``-> None``; annotations may be strings."""
    try:
        returns = inspect.signature(function).return_annotation
    except NameError:  # since 3.14, for annotations that only type checkers can resolve
        return False
    return returns in (None, "None")


def _advice(one: Instance, phase: str, guard: Instance, guarding: str) -> str:
    if phase == guarding:
        return f'list "{guard.name}" before "{one.name}"'
    if phase in guard.plugin.steps:
        return f'give "{guard.name}" step = "{phase}" and list it before "{one.name}"'
    if guarding in one.plugin.steps:
        return f'give "{one.name}" step = "{guarding}" and list it behind "{guard.name}"'
    return f'move "{one.name}" to a location of its own: {phase} runs before {guarding}'


def _broken_wishes(instances: Sequence[Instance]) -> Iterator[Hazard]:
    for at, first in enumerate(instances):
        for second in instances[at + 1 :]:
            if (wish := _wish(first.plugin, second.plugin)) is not None:
                asking = f'"{second.name}"' if wish is second.plugin else f'"{first.name}"'
                other = f'"{first.name}"' if wish is second.plugin else f'"{second.name}"'
                place = "in front of" if wish is second.plugin else "behind"
                harm = f"{asking} ({wish.category}) belongs {place} {other}"
                advice = f'list "{second.name}" before "{first.name}"'
                yield Hazard(first.name, second.name, harm, advice)


def _wish(first: Any, second: Any) -> Any | None:
    """Return the plugin that prefers the other order, if one does."""
    if first.category in second.before:
        return second
    return first if second.category in first.after else None
