"""Start and end of applications, their names, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asgi_raw
import pytest
from pingap_asgi.plugin import Asgi

from pingap import ConfigTable
from pingap.testing import PluginStartError, Proxy, configuration_problems

Serve = Callable[..., Proxy]
HERE = Path(__file__).parent


def test_lifespan_and_state(serve: Serve) -> None:
    proxy = serve("asgi_raw:lifespan", asgi_lifespan="on")
    for _ in range(2):  # the second request does not see what the first one has set
        assert proxy.get("/").json() == {"shared": ["from the start"], "own": True}
    assert asgi_raw.seen == ["up"]
    proxy.stop()
    assert asgi_raw.seen == ["up", "down"]


def test_locations_share_an_application(serve: Serve) -> None:
    proxy = serve("asgi_raw:lifespan", asgi_lifespan="on")
    serve("asgi_raw:lifespan", path="/other", asgi_lifespan="on")
    assert proxy.get("/").status == proxy.get("/other").status == 200
    proxy.stop()
    assert asgi_raw.seen == ["up", "down"]


def test_a_factory_is_called_once(serve: Serve) -> None:
    proxy = serve("asgi_raw:make", asgi_lifespan="on", asgi_factory=True)
    assert proxy.get("/").status == 200
    proxy.stop()
    assert asgi_raw.seen == ["made", "up", "down"]


def test_an_object(serve: Serve) -> None:
    assert serve("asgi_raw:instance").get("/").text == "from an object"


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_an_application_that_cannot_start(serve: Serve, mode: str) -> None:
    with pytest.raises(PluginStartError, match="there is no database"):
        serve("asgi_raw:cannot_start", asgi_lifespan=mode).start()


def test_a_factory_that_fails(serve: Serve) -> None:
    with pytest.raises(PluginStartError, match="no disk"):
        serve("asgi_raw:fails", asgi_factory=True).start()


def test_an_application_without_lifespan(serve: Serve) -> None:
    assert serve("asgi_raw:echo", asgi_lifespan="auto").get("/").status == 200


def test_one_that_must_have_a_lifespan(serve: Serve) -> None:
    with pytest.raises(PluginStartError, match="ignored"):
        serve("asgi_raw:wait_for_end", asgi_lifespan="on").start()


TOML = """
[servers.web]
addr = "127.0.0.1:0"
locations = ["app"]
[locations.app]
asgi = "{}"
asgi_dir = "{}"
{}
"""


@pytest.mark.parametrize(
    ("name", "keys", "problem"),
    [
        ("asgi_raw", "", 'is not of the form "package.module:app"'),
        ("asgi_raw:", "", 'is not of the form "package.module:app"'),
        ("asgi_rax:echo", "", 'no module "asgi_rax" is installed or in '),
        ("asgi_raw.sub:echo", "", 'no module "asgi_raw.sub" is installed or in '),
        ("asgi_raw:ecko", "", 'module asgi_raw has no ecko; did you mean "echo"?'),
        ("asgi_broken:app", "", "asgi_broken.py:3)"),
        ("asgi_raw:not_callable", "", "is a int, which cannot be called"),
        ("asgi_raw:wsgi", "", "two arguments, as WSGI does"),
        ("asgi_raw:asgi2", "", "is of ASGI 2"),
        ("asgi_raw:Class", "", "is a class"),
        ("asgi_raw:make", "", "set asgi_factory if it makes the application"),
        ("asgi_raw:not_callable", "asgi_factory = true", "is not a function"),
        ("asgi_raw:echo", 'asgi_root_path = "api/"', "is not a path such as"),
        ("asgi_raw:echo", 'asgi_lifespan = "yes"', "locations.app.asgi_lifespan"),
        (
            "asgi_raw:echo",
            'asgi_websocket_max_size = "lots"',
            "locations.app.asgi_websocket_max_size",
        ),
    ],
)
def test_what_is_wrong_is_told_when_the_configuration_is_loaded(
    name: str, keys: str, problem: str
) -> None:
    [text] = configuration_problems(TOML.format(name, HERE, keys), categories=[Asgi])
    assert problem in text
    assert text.startswith("pingap.toml:")


def test_a_missing_directory() -> None:
    [text] = configuration_problems(TOML.format("asgi_raw:echo", "/none", ""), categories=[Asgi])
    assert '"/none" is not a directory' in text


def advice(app: str, **values: object) -> list[str]:
    settings = Asgi.Settings(asgi=app, asgi_dir=HERE)
    plugin = Asgi(settings, ConfigTable("locations", "app", values))
    return [what for _, what, _ in plugin.advice()]


def test_advice() -> None:
    assert advice("asgi_raw:echo") == []
    assert "has an upstream, too" in advice("asgi_raw:echo", upstream="shop")[0]
    assert "in debug mode" in advice("asgi_starlette:debug")[0]


def test_a_module_that_hides_the_application(tmp_path: Path) -> None:
    """It would be the wrong application that is served."""
    (tmp_path / "json.py").write_text("app = None")
    toml = TOML.format("json:app", tmp_path, "")
    [text] = configuration_problems(toml, categories=[Asgi])
    assert '"json" is another module already' in text
