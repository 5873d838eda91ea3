"""The order of plugins in a location: what defeats a guard, what breaks a wish."""

from __future__ import annotations

from typing import ClassVar

import pytest

from pingap import HTTPError, Plugin, PluginSettings, Request, Response, hookimpl
from pingap.plugins.chains import Instance
from pingap.plugins.order_lint import hazards, implementations


class Guard(Plugin):
    category = "guard"
    guard = True
    steps = ("request", "proxy_upstream")

    @hookimpl
    def request(self) -> Response | None:
        return Response.text(403, "no")


class EarlyGuard(Plugin):
    category = "early_guard"
    guard = True

    @hookimpl
    def early_request(self) -> None:
        raise HTTPError(403)


class LateGuard(Plugin):
    category = "late_guard"
    guard = True

    @hookimpl
    async def proxy_upstream(self) -> Response | None:
        return None


class Wish(Plugin):
    category = "wish"

    class Settings(PluginSettings):
        early: bool

    def __init__(self, settings: Settings) -> None:
        if settings.early:
            self.before = ("page",)


def test_a_wish_may_depend_on_a_setting() -> None:
    page = Instance("page", Page(PluginSettings()))
    for early in (True, False):
        wish = Instance("wish", Wish(Wish.Settings(early=early)))
        found = [str(one) for one in hazards([page, wish])]
        told = ['"wish" (wish) belongs in front of "page": list "wish" before "page"']
        assert found == told * early


class Page(Plugin):
    category = "page"
    steps = ("request", "proxy_upstream")

    @hookimpl
    def request(self) -> Response:
        return Response.text(200, "page")


class FixedPage(Page):
    category = "fixed_page"
    steps = ()


class PublicPage(Page):
    category = "public_page"
    answers = "public"


class Marker(Plugin):
    category = "marker"

    @hookimpl
    def request(self, request: Request) -> None:
        request.headers.set("X-Mark", "1")


class Sleeper(Page):
    category = "sleeper"

    def active_phases(self) -> tuple[str, ...]:
        return ()


class Cache(Plugin):
    category = "cache"
    before: ClassVar[tuple[str, ...]] = ("marker",)


class Log(Plugin):
    category = "log"
    after: ClassVar[tuple[str, ...]] = ("cache",)


def instance(cls: type[Plugin], step: str | None = None) -> Instance:
    return Instance(cls.category, cls(PluginSettings()), step)


def told(*instances: Instance) -> list[str]:
    return [str(one) for one in hazards(instances)]


def test_what_answers_in_front_of_a_guard_defeats_it() -> None:
    (hazard,) = hazards([instance(Page), instance(Guard)])
    assert (hazard.early, hazard.late) == ("page", "guard")
    assert str(hazard) == (
        '"page" may answer before the guard "guard" is asked: list "guard" before "page"'
    )


@pytest.mark.parametrize(
    "instances",
    [
        [instance(Guard), instance(Page)],
        [instance(Page), instance(Marker)],
        [instance(Marker), instance(Guard)],
        [instance(PublicPage), instance(Guard)],
        [instance(Sleeper), instance(Guard)],
        [instance(Guard), instance(EarlyGuard)],
        # In the list it comes first, and still it runs later.
        [instance(Page, "proxy_upstream"), instance(Guard)],
        [instance(Page), instance(EarlyGuard)],
        [instance(Log)],
        [],
    ],
    ids=lambda instances: "-".join(one.name for one in instances) or "none",
)
def test_no_hazard(instances: list[Instance]) -> None:
    assert hazards(instances) == []


@pytest.mark.parametrize(
    ("instances", "advice"),
    [
        (
            [instance(Guard, "proxy_upstream"), instance(Page)],
            'give "guard" step = "request" and list it before "page"',
        ),
        (
            [instance(LateGuard), instance(Page)],
            'give "page" step = "proxy_upstream" and list it behind "late_guard"',
        ),
        (
            [instance(LateGuard), instance(FixedPage)],
            'move "fixed_page" to a location of its own: request runs before proxy_upstream',
        ),
    ],
)
def test_a_guard_in_a_later_phase_is_defeated_wherever_it_is_listed(
    instances: list[Instance], advice: str
) -> None:
    (hazard,) = hazards(instances)
    assert hazard.advice == advice


def test_wishes() -> None:
    assert told(instance(Marker), instance(Cache)) == [
        '"cache" (cache) belongs in front of "marker": list "cache" before "marker"'
    ]
    assert told(instance(Log), instance(Cache)) == [
        '"log" (log) belongs behind "cache": list "cache" before "log"'
    ]
    assert told(instance(Cache), instance(Marker), instance(Log)) == []


def test_every_hazard_is_told_once() -> None:
    found = hazards([instance(Page), instance(Marker), instance(Cache), instance(Guard)])
    assert [(one.early, one.late) for one in found] == [("page", "guard"), ("marker", "cache")]


def test_implementations_follow_the_chosen_step_and_active_phases() -> None:
    assert implementations(instance(Page)) == [("request", Page.request)]
    assert implementations(instance(Page, "proxy_upstream")) == [("proxy_upstream", Page.request)]
    assert implementations(instance(Sleeper)) == []
