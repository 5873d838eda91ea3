"""What plugins add to metrics and access logs, as an operator sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from pingap import (
    Counter,
    LogTag,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    hookimpl,
)
from pingap.testing import ConfigError, Proxy, Upstream


class Settings(PluginSettings):
    """Which name the tag has."""

    tag: str = "tenant"
    metric: str = "tenants_seen"


class Tenant(Plugin):
    """Finds out whose request it is."""

    category = "tenant"
    Settings = Settings

    def __init__(self, settings: Settings) -> None:
        self.seen = Counter(settings.metric, "Requests by tenant", ("tenant",))
        self.tag = settings.tag

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        tenant = request.query_value("tenant")
        if tenant is not None:
            ctx.state["tenant"] = tenant
            self.seen.labels(tenant).inc()

    def log_tags(self) -> Mapping[str, LogTag]:
        return {self.tag: self.tenant}

    @staticmethod
    def tenant(request: Request, response: Response | None, ctx: RequestContext) -> str | None:
        if request.path == "/fails":
            raise LookupError("no tenant of that name")
        return f"{ctx.state['tenant']}:{ctx.status}" if "tenant" in ctx.state else None


@pytest.fixture
def tenants() -> Iterator[Proxy]:
    """A proxy with two servers and one plugin."""
    with Upstream() as upstream:
        proxy = Proxy(upstream=upstream)
        name = proxy.location(plugins=[Tenant])
        proxy.configure("servers.web", access_log="{path} [{:tenant.tenant}] {status}")
        proxy.configure("servers.other", addr="127.0.0.1:0", locations=[name])
        yield proxy
        proxy.stop()
    proxy.check()


def test_a_metric_stands_on_the_pages_of_all_servers(tenants: Proxy) -> None:
    tenants.get("/?tenant=a")
    tenants.get("/?tenant=a", server="other")
    for server in ("web", "other"):
        value = tenants.metrics(server).value
        assert value("tenants_seen_total", server=server, plugin="tenant", tenant="a") == 2


def test_a_metric_that_has_no_series_yet_is_known(tenants: Proxy) -> None:
    metrics = tenants.metrics()
    assert metrics.value("tenants_seen_total", tenant="a") == 0
    with pytest.raises(KeyError, match="did you mean tenants_seen_total"):
        metrics.value("tenants_seen")


def test_hook_log_tags_stand_in_the_access_log(tenants: Proxy) -> None:
    tenants.get("/a?tenant=x")
    tenants.get("/b")
    tenants.get('/c?tenant="x')
    assert tenants.access_log == ["/a [x:200] 200", "/b [] 200", r"/c [\x22x:200] 200"]


def test_a_tag_that_fails_does_not_keep_the_line_from_being_written(tenants: Proxy) -> None:
    tenants.get("/fails")
    tenants.get("/fails")
    assert tenants.access_log == ["/fails [-] 200"] * 2
    told = tenants.expect_error("no tenant of that name")
    assert "plugin tenant failed in log_tags, location root" in told
    assert tenants.metrics().value("pingap_plugin_failures", plugin="tenant") == 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tag": "a b"}, "plugins.tenant: log tag 'a b': a name has letters"),
        ({"metric": "pingap_http_tenants"}, "plugins.tenant: cannot be built: metric pingap_http"),
    ],
)
def test_mistakes_are_told_with_their_plugin(settings: dict[str, str], told: str) -> None:
    proxy = Proxy()
    proxy.location(plugins=[(Tenant, settings)])
    with pytest.raises(ConfigError, match=told):
        proxy.start()


def test_an_unknown_tag_is_told_with_the_nearest() -> None:
    proxy = Proxy()
    proxy.location(plugins=[Tenant])
    proxy.configure("servers.web", access_log="{:tenant.tennant}")
    with pytest.raises(ConfigError, match=r'{:tenant.tennant}; did you mean "tenant.tenant"\?'):
        proxy.start()


def test_a_class_with_a_metric_is_told() -> None:
    class Shared(Tenant):
        category = "shared"
        count = Counter("shared_count", "Shared by all instances")

    proxy = Proxy()
    proxy.location(plugins=[Shared])
    with pytest.raises(ConfigError, match=r"plugins.shared: Shared.count: all instances"):
        proxy.start()
