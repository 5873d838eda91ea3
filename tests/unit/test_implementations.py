"""Methods of plugin classes that cannot be what was meant."""

from __future__ import annotations

from typing import Any

import pytest

from pingap import Plugin, Request, hookimpl
from pingap.plugins.checks import mistakes


class Forgotten(Plugin):
    def request(self) -> None: ...


class Inherited(Forgotten):
    """The mark is on a method that an unmarked one replaces."""

    @hookimpl
    def response(self) -> None: ...


class Misspelt(Plugin):
    @hookimpl
    def upstream_respons(self) -> None: ...


class Unheard(Plugin):
    @hookimpl
    def quux(self) -> None: ...


class Argument(Plugin):
    @hookimpl
    def request(self, reqest: Request) -> None: ...


class Default(Plugin):
    @hookimpl
    def request(self, ctx: Any = None) -> None: ...


class Static(Plugin):
    @staticmethod
    @hookimpl
    def request(contxt: Any) -> None: ...


@pytest.mark.parametrize(
    ("cls", "name", "told"),
    [
        (Forgotten, "request", "is named after a phase: mark it with @hookimpl, or rename it"),
        (Inherited, "request", "is named after a phase: mark it with @hookimpl, or rename it"),
        (
            Misspelt,
            "upstream_respons",
            'there is no such hook; did you mean "upstream_response"?',
        ),
        (Unheard, "quux", "there is no such hook (phases: server_request, early_request, "),
        (
            Argument,
            "request",
            'request has no argument "reqest"; did you mean "request"? (arguments: request, ctx)',
        ),
        (
            Default,
            "request",
            '"ctx" has a default value, so it is never passed: remove the default',
        ),
        (Static, "request", 'request has no argument "contxt"'),
    ],
)
def test_a_mistake_is_told(cls: type[Plugin], name: str, told: str) -> None:
    [(found, function, text)] = mistakes(cls)
    assert (found, function.__name__) == (name, name)
    assert text.startswith(told)


class Right(Plugin):
    """What may look strange and is right."""

    logging = None

    @hookimpl
    def request(self, ctx: Any, _cache: Any = ()) -> None: ...

    @hookimpl(specname="response")
    def late(self, **more: Any) -> None: ...

    @staticmethod
    @hookimpl
    def proxy_upstream(request: Any) -> None: ...

    @classmethod
    @hookimpl
    def early_request(cls, request: Any) -> None: ...

    @classmethod
    @hookimpl
    async def pingap_startup(cls) -> None: ...

    def helper(self, reqest: Any) -> None: ...


def test_what_is_right_is_left_alone() -> None:
    assert list(mistakes(Right)) == []
    assert list(mistakes(Plugin)) == []
