"""Every way to purge, in both stores, soft and hard: afterwards no worker answers with what was stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from pingap_cache.commands import cache
from real_processes import running, until

from pingap.testing import ProxyProcess, Upstream

WAYS = ["url", "prefix", "namespace", "tag", "all"]
numbers = itertools.count()


class Site:
    """A pingap with two workers, and its upstream."""

    def __init__(self, pingap: ProxyProcess, upstream: Upstream) -> None:
        self.pingap = pingap
        self.upstream = upstream
        self.path = f"/{next(numbers)}/page"

    @property
    def url(self) -> str:
        """The URL of the page."""
        return f"http://127.0.0.1:{self.pingap.port()}{self.path}"

    def publish(self, text: str) -> None:
        """Let the upstream have the page with this text."""
        headers = {"Cache-Control": "max-age=600", "ETag": f'"{text}"', "Cache-Tag": self.path[1:]}
        self.upstream.reply(self.path, text.encode(), headers=headers)

    def answers(self) -> list[tuple[bytes, str | None]]:
        """Return what twelve connections get: by chance, some of them at each worker."""
        headers = {"Host": f"127.0.0.1:{self.pingap.port()}"}
        found = [self.pingap.get(self.path, headers=headers) for _ in range(12)]
        return [(answer.body, answer.headers.get("X-Cache-Status")) for answer in found]


@pytest.fixture(scope="module", params=["memory", "disk"])
def running_pingap(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ProxyProcess, Upstream]]:
    """A pingap for all ways."""
    folder = tmp_path_factory.mktemp("purges")
    where = "" if request.param == "memory" else f'directory = "{folder}/cache"\n'
    settings = f'{where}namespace = "shop"\npurge_ip_list = ["127.0.0.1"]'
    with (
        Upstream() as upstream,
        running(folder / "run", upstream.addr, cache=settings) as pingap,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PINGAP_STATE_DIR", str(folder / "run/state"))
        yield pingap, upstream


@pytest.fixture
def site(running_pingap: tuple[ProxyProcess, Upstream]) -> Site:
    """A page that all workers have stored."""
    site = Site(*running_pingap)
    site.publish("old")
    until(lambda: set(site.answers()) == {(b"old", "hit")})
    site.publish("new")
    return site


def is_new_everywhere(site: Site, *, soft: bool) -> bool:
    """Return whether no worker has answered with the old page, and what came first tells how it was purged."""
    first, *others = site.answers()
    assert first == (b"new", "expired" if soft else "miss")
    return {body for body, _ in others} == {b"new"}


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("way", WAYS)
def test_by_command(site: Site, way: str, soft: bool) -> None:
    arguments = {
        "url": [site.url],
        "prefix": ["--prefix", site.url[:-3]],
        "namespace": ["--namespace", "shop"],
        "tag": ["--tag", site.path[1:]],
        "all": ["--all"],
    }[way]
    result = CliRunner().invoke(cache, ["purge", *arguments, *(["--soft"] if soft else [])])
    assert result.exit_code == 0
    assert int(result.output.removeprefix("purged: ")) >= 1
    assert is_new_everywhere(site, soft=soft)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("way", ["url", "prefix", "tag", "all"])
def test_by_request(site: Site, way: str, soft: bool) -> None:
    target = {"url": site.path, "prefix": f"{site.path[:-3]}*", "tag": "/", "all": "/*"}[way]
    headers = {"Host": f"127.0.0.1:{site.pingap.port()}"}
    headers |= {"X-Purge": "soft"} if soft else {}
    headers |= {"Cache-Tag": site.path[1:]} if way == "tag" else {}
    assert site.pingap.request("PURGE", target, headers=headers).status in (200, 204)
    # (The answer comes from one worker; the others follow at once, but nobody waits for them.)
    until(lambda: {body for body, _ in site.answers()} == {b"new"})
