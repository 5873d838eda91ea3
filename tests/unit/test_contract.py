"""The version of the hook contract, and what is on its way out of it."""

from __future__ import annotations

import inspect
import warnings

import pluggy
import pytest

from pingap import Plugin, hookimpl
from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import parse
from pingap.hookspecs import CONTRACT, hookspec
from pingap.plugins import application_hooks as plugins
from pingap.plugins import chains
from pingap.plugins.api_version import DeprecatedHook, misfit, register
from pingap.plugins.chains import ContractError, check_class


def plugin_that_needs(version: str) -> type[Plugin]:
    return type("Needs", (Plugin,), {"contract": version, "category": "needs"})


def test_a_plugin_that_says_nothing_needs_the_first_contract() -> None:
    assert Plugin.contract == "1.0"
    assert CONTRACT == (1, 1)


@pytest.mark.parametrize("version", ["1.0", "1.3", "1.5"])
def test_what_an_older_minor_version_had_is_still_there(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingap.plugins.api_version.CONTRACT", (1, 5))
    assert misfit(plugin_that_needs(version)) is None


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("1.6", "a newer pingap is needed"),
        ("1.10", "a newer pingap is needed"),
        ("2.0", "a newer pingap is needed"),
        ("0.9", "a newer release of the plugin is needed"),
    ],
)
def test_a_misfit_says_what_is_needed_and_what_is_there(
    version: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingap.plugins.api_version.CONTRACT", (1, 5))
    monkeypatch.setattr("pingap.plugins.api_version.__version__", "3.2.1")
    with pytest.raises(ContractError) as caught:
        check_class(plugin_that_needs(version))
    text = f"needs hook contract {version}, and this pingap (3.2.1) has 1.5: {advice}"
    assert str(caught.value).endswith(f".Needs: {text}")


@pytest.mark.parametrize("version", ["1", "1.0.0", "", "latest", 1.0, None])
def test_a_version_that_is_none_is_told(version: str) -> None:
    text = f'contract = {version!r}, expected "MAJOR.MINOR" such as "1.1"'
    assert misfit(plugin_that_needs(version)) == text


# Deprecation. No hook is deprecated, so these tests have specs of their own.


class Specs:
    @hookspec(warn_on_impl=DeprecatedHook("the hook rinse is deprecated: implement wash"))
    def rinse(self, water: str) -> None: ...

    @hookspec(
        warn_on_impl_args={"soap": DeprecatedHook("the argument soap is deprecated: use agent")}
    )
    def wash(self, agent: str, soap: str) -> None: ...


class Careful:
    @hookimpl
    def wash(self, agent: str) -> None: ...


class Old:
    @hookimpl
    def rinse(self) -> None: ...

    @hookimpl
    def wash(self, soap: str) -> None: ...


def manager() -> pluggy.PluginManager:
    made = pluggy.PluginManager("pingap")
    made.add_hookspecs(Specs)
    return made


def line_of(function: object) -> str:
    assert inspect.isfunction(function)
    return f"{__file__}:{function.__code__.co_firstlineno}"


def test_deprecated_hooks_and_arguments_are_named_with_their_successors() -> None:
    assert sorted(register(manager(), Old(), "old")) == [
        f"the argument soap is deprecated: use agent ({line_of(Old.wash)})",
        f"the hook rinse is deprecated: implement wash ({line_of(Old.rinse)})",
    ]


def test_nothing_is_told_of_what_is_not_deprecated() -> None:
    assert register(manager(), Careful(), "careful") == []


def test_other_warnings_of_a_plugin_stay_warnings() -> None:
    class Manager(pluggy.PluginManager):
        """Asks plugins something while it registers them, as that of a location does."""

        def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
            if name == "wash":
                warnings.warn("look out", UserWarning, stacklevel=1)
            return super().parse_hookimpl_opts(plugin, name)

    made = Manager("pingap")
    made.add_hookspecs(Specs)
    with pytest.warns(UserWarning, match="look out"):
        assert len(register(made, Old(), "old")) == 2


class Deprecating(Plugin):
    category = "deprecating"

    @hookimpl
    def request(self) -> None: ...

    @classmethod
    @hookimpl
    async def pingap_startup(cls) -> None: ...


class _Point:
    """An entry point, as ``importlib.metadata`` has it."""

    name = "deprecating"
    value = "test:Deprecating"
    dist = None

    def load(self) -> type[Plugin]:
        return Deprecating


TOML = """
[plugins.one]
category = "deprecating"
[plugins.idle]
category = "deprecating"
[locations.a]
plugins = ["one"]
upstream = "u"
[locations.b]
plugins = ["one"]
upstream = "u"
[upstreams.u]
addrs = ["127.0.0.1:9"]
"""


def test_deprecations_are_warnings_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phase is told once for each instance that a location uses, an application hook once."""
    old = hookspec(firstresult=True, warn_on_impl=DeprecatedHook("request is old: use wash"))

    @old
    def request(request: object, ctx: object) -> None: ...

    @hookspec(warn_on_impl=DeprecatedHook("pingap_startup is old: use pingap_wash"))
    async def pingap_startup() -> None: ...

    monkeypatch.setattr(chains._Phases, "request", staticmethod(request))
    specs = plugins._ApplicationSpecs
    monkeypatch.setattr(specs, "pingap_startup", staticmethod(pingap_startup))
    runtime = build(parse(TOML, "p.toml"), installed_registry([_Point()]))  # type: ignore[list-item]
    runtime.log_files.close()
    startup = Deprecating.__dict__["pingap_startup"].__func__
    assert [str(warning) for warning in runtime.warnings] == [
        f"p.toml:2: plugins.one: request is old: use wash ({line_of(Deprecating.request)})",
        "test:Deprecating (test:Deprecating): pingap_startup is old: use pingap_wash"
        f" ({line_of(startup)})",
    ]
