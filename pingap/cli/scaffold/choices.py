"""The choices for the template, and the values that its placeholders get.

The keys are those of ``plugin-template/cookiecutter.json``, which derives the same values with Jinja
expressions. Jinja is not available here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import pingap
from pingap.build.registry import installed_registry
from pingap.config.distributions import CATEGORIES
from pingap.config.problem import did_you_mean, quoted
from pingap.hookspecs import PHASES
from pingap.plugins.local import CATEGORY as LOCAL

Choices: TypeAlias = Mapping[str, str | bool]

BODIES: Final = ("none", "reads", "rewrites", "whole")
LICENSES: Final = ("Apache-2.0", "MIT", "BSD-3-Clause")
BODY_PHASES: Final = ("request_body", "upstream_response_body", "response_body")

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NAME_LENGTH: Final = 30
"""Longer names would make lines of the template too long."""
_LINE: Final = re.compile(r'[^"\\{}]*')
"""Characters that need no escaping in TOML, Python and Markdown."""
_TAKEN: Final = {*pingap.__all__, "Settings", "Append", "Digest", "Prefix"}
"""Names that the module of the plugin uses for other purposes than its class."""


def problems(choices: Choices) -> list[str]:
    """Return the problems with the choices, one per line; empty if a plugin can be made."""
    return [
        *_name_problems(str(choices["name"])),
        *_line_problems(choices),
        *_phase_problems(choices),
        *_one_of("body", str(choices["body"]), BODIES),
        *_one_of("license", str(choices["license"]), LICENSES),
    ]


def values(choices: Choices) -> dict[str, str | bool]:
    """Return the values for the placeholders of the template; flags are true if not empty."""
    name, body, license_ = (str(choices[key]) for key in ("name", "body", "license"))
    words = name.replace("_", " ").title()
    flags = {phase: phase in _phases(choices) for phase in PHASES}
    flags |= {"reads": body == "reads", "rewrites": body == "rewrites", "whole": body == "whole"}
    flags |= {"apache": license_ == "Apache-2.0", "mit": license_ == "MIT"}
    flags |= {"bsd": license_ == "BSD-3-Clause"}
    return {
        **choices,
        "__description": str(choices["description"]).rstrip(". "),
        "__distribution": distribution(name),
        "__package": f"pingap_{name}",
        "__class": words.replace(" ", ""),
        "__header": f"X-{words.replace(' ', '-')}",
        "__path": f"/{name.replace('_', '-')}",
        "__def": "async def" if choices["async"] else "def",
        "__filters_do": (
            "its SHA-256 goes to the application log"
            if body == "reads"
            else "plain text gets the text as its last line"
        ),
        **{f"__{flag}": "yes" if holds else "" for flag, holds in flags.items()},
    }


def distribution(name: str) -> str:
    """Return the name of the distribution for a category."""
    return f"pingap-{name.replace('_', '-')}"


def _phases(choices: Choices) -> list[str]:
    written = str(choices["phases"]).replace(" ", "").split(",")
    return [phase for phase in written if phase]


def _name_problems(name: str) -> Iterator[str]:
    told = f"name: {quoted(name)}"
    if not _NAME.fullmatch(name):
        yield f"{told}, expected lower-case letters, digits and single _ between them: rate_limit"
        return
    if len(name) > _NAME_LENGTH:
        yield f"{told} has {len(name)} characters, expected at most {_NAME_LENGTH}"
    owners = _owners()
    if name in owners:
        yield f"{told} is a category of {owners[name]}"
    elif distribution(name) in owners.values():
        yield f"{told}: a distribution {distribution(name)} exists"
    elif (cls := name.title().replace("_", "")) in _TAKEN:
        yield f"{told}: its class would be {cls}, a name that plugins import"


def _owners() -> dict[str, str]:
    """Return the categories that exist, and the distribution each is in."""
    installed = {
        point.name: point.dist.name
        for point in installed_registry().points
        if point.dist is not None
    }
    return {LOCAL: "pingap", **installed, **CATEGORIES}


def _line_problems(choices: Choices) -> Iterator[str]:
    for key in ("description", "author"):
        text = str(choices[key])
        if not text.strip(". "):
            yield f"{key}: nothing, expected some words"
        elif not (text.isprintable() and _LINE.fullmatch(text)):
            yield f'{key}: {quoted(text)}, expected one line without " \\ {{ }}'


def _phase_problems(choices: Choices) -> Iterator[str]:
    phases, body = _phases(choices), choices["body"]
    if not phases:
        yield f"phases: none, expected some of {', '.join(PHASES)}"
        return
    for phase in phases:
        if phase not in PHASES:
            hint = did_you_mean(phase, PHASES) or f", expected some of {', '.join(PHASES)}"
            yield f"phases: {quoted(phase)} is not a phase{hint}"
    filtering = [phase for phase in phases if phase in BODY_PHASES]
    if filtering and body not in ("reads", "rewrites"):
        yield f'body: {quoted(str(body))}, but {filtering[0]} needs "reads" or "rewrites"'
    if not filtering and body in ("reads", "rewrites"):
        yield f"body: {quoted(str(body))} needs one of the phases {', '.join(BODY_PHASES)}"
    if body == "whole" and "request" not in phases:
        yield 'body: "whole" needs the phase request, which is given the body'
    if choices["async"] and len(filtering) == len(phases):
        yield f"async: nothing is awaited in {', '.join(filtering)}; filters are sync"


def _one_of(key: str, found: str, known: tuple[str, ...]) -> Iterator[str]:
    if found not in known:
        yield f"{key}: {quoted(found)}, expected one of {', '.join(known)}"
