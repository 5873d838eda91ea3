"""Mistakes in plugins and their settings: told with file and line, exit code 2, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.check import check
from support.plugins import write_distribution

from pingap import Plugin, hookimpl
from pingap.testing import Proxy

GOOD = """
class Good(Plugin):
    category = "good"
    steps = ("request", "response")

    class Settings(PluginSettings):
        text: str = ""
        count: int = 0
        wait: Duration = 1.0

    def __init__(self, settings):
        if settings.count == 13:
            raise ValueError("13 is not allowed")
        if settings.count == 14:
            settings.no_such_key

    @hookimpl
    def request(self): pass


class Fixed(Plugin):
    category = "fixed"

    @hookimpl
    def request(self): pass


class Misspelt(Plugin):
    category = "misspelt"

    @hookimpl
    def reqest(self): pass


class Wrapper(Plugin):
    category = "wrapper"

    @hookimpl(wrapper=True)
    def request(self): return (yield)


class Argument(Plugin):
    category = "argument"

    @hookimpl
    def request(self, requset): pass
"""
UNKEPT = '''
class Unkept(Plugin):
    """Promises no body filters and has one."""

    category = "unkept"

    @hookimpl
    def response_body(self): pass
'''
NO_STEP = """
class NoStep(Plugin):
    category = "no_step"
    steps = ("sometime",)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write_distribution(tmp_path / "site", "good", GOOD)
    return tmp_path / "site"


def test_every_mistake_in_settings_is_told_at_once(tmp_path: Path, site: Path) -> None:
    code, told = check(
        tmp_path,
        """
[plugins.unknown]
category = "nonesuch"
[plugins.missing]
category = "admin"
[plugins.near]
category = "good"
txt = "x"
[plugins.type]
category = "good"
count = "1"
[plugins.unit]
category = "good"
wait = "soon"
[plugins.refused]
category = "good"
count = 13
[plugins.broken]
category = "good"
count = 14
[plugins.step]
category = "good"
step = "logging"
[plugins.fine]
category = "good"
step = "response"
[locations.a]
plugins = ["fine", "fine"]
""",
    )
    assert code == 2
    lines = told.splitlines()
    assert lines[-1] == f"{len(lines) - 1} problems."
    expected = {
        3: 'plugins.unknown.category: "nonesuch": no installed distribution provides this category',
        5: 'plugins.missing.category: "admin": needs the distribution pingap-admin, '
        "which this release does not contain yet",
        8: 'plugins.near.txt: unknown key; did you mean "text"?',
        11: 'plugins.type.count: found "1" (string), expected an integer',
        17: None,
    }
    for number, text in expected.items():
        if text is not None:
            assert f"p.toml:{number}: {text}" in lines
    assert any(line.startswith("p.toml:14: plugins.unit.wait: ") for line in lines)
    assert "p.toml:15: plugins.refused: cannot be built: 13 is not allowed" in lines
    broken = "p.toml:18: plugins.broken: cannot be built: AttributeError: 'Settings' object has no"
    assert any(line.startswith(broken) and "/good.py:" in line for line in lines)
    step = 'plugins.step.step: found "logging", expected "request" or "response"'
    assert f"p.toml:23: {step}" in lines
    assert 'p.toml:28: locations.a.plugins[1]: "fine" is listed twice' in lines
    assert len(lines) == 10


@pytest.mark.parametrize(
    ("category", "told"),
    [
        (
            "misspelt",
            'plugins.x.category: "misspelt": good cannot be loaded: good.Misspelt.reqest: there is '
            'no such hook; did you mean "request"?',
        ),
        (
            "wrapper",
            "locations.a.plugins: good.Wrapper.request is a hook wrapper; use two phases instead",
        ),
        (
            "argument",
            'plugins.x.category: "argument": good cannot be loaded: good.Argument.request: request '
            'has no argument "requset"; did you mean "request"? (arguments: request, ctx)',
        ),
    ],
)
def test_hook_implementation_that_no_phase_can_call(
    tmp_path: Path, site: Path, category: str, told: str
) -> None:
    toml = f'[plugins.x]\ncategory = "{category}"\n[locations.a]\nplugins = ["x"]\n'
    code, said = check(tmp_path, toml)
    assert code == 2
    assert f": {told}\n" in said
    assert said.endswith("\n1 problem.\n")


def test_step_of_a_plugin_with_fixed_phases_is_a_warning(tmp_path: Path, site: Path) -> None:
    toml = '[plugins.x]\ncategory = "fixed"\nstep = "request"\n[locations.a]\nplugins = ["x"]\n'
    code, said = check(tmp_path, toml)
    assert code == 0
    assert said == (
        "warning: p.toml:3: plugins.x.step: has no effect: the phases of fixed are fixed\n"
        "The configuration is valid.\n"
    )


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (UNKEPT, 'bad.Unkept.response_body: set body = "reads" or "rewrites" on the class'),
        (NO_STEP, "bad.NoStep.steps: 'sometime' is not a phase"),
        ('raise ImportError("libfoo is missing")', "libfoo is missing"),
        ("class Bad(Plugin): pass", 'bad.Bad: set category = "..." on the class'),
        (
            "class Bad(Plugin):\n    category = 'bad'\n    class Settings: pass\n",
            "bad.Bad.Settings: base it on pingap.PluginSettings",
        ),
        (
            "class Bad(Plugin):\n    category = 'bad'\n    def logging(self): pass\n",
            "bad.Bad.logging: is named after a phase: mark it with @hookimpl, or rename it",
        ),
        ("Bad = 3", "does not refer to a category"),
        (
            'class Bad(Plugin):\n    category = "other"\n',
            "the entry point 'bad' of bad does not refer to a category: it must be MODULE:CLASS",
        ),
        (
            "class Bad(Plugin):\n    category = 'bad'\n    @classmethod\n    @hookimpl\n"
            "    def pingap_strtup(cls): pass\n",
            'pingap_strtup: there is no such hook; did you mean "pingap_startup"?',
        ),
    ],
)
def test_distribution_that_cannot_be_used(tmp_path: Path, source: str, told: str) -> None:
    cls = {"Unkept": "Unkept", "NoStep": "NoStep"}
    name = next((one for one in cls if f"class {one}" in source), "Bad")
    write_distribution(tmp_path / "site", "bad", source, {"bad": f"bad:{name}"})
    code, said = check(tmp_path, '[plugins.x]\ncategory = "bad"\n')
    assert code == 2
    assert said.startswith('p.toml:2: plugins.x.category: "bad": ')
    assert told in said
    assert said.endswith("\n1 problem.\n")


def test_distribution_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "my_bad", "1 / 0", {"bad": "my_bad:Bad"})
    assert check(tmp_path, '[plugins.x]\ncategory = "bad"\n') == (
        2,
        'p.toml:2: plugins.x.category: "bad": my-bad cannot be loaded: division by zero\n1 problem.\n',
    )


def test_category_of_two_distributions_is_refused(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "better", GOOD, {"good": "better:Good"})
    assert check(tmp_path, '[plugins.x]\ncategory = "good"\n') == (
        2,
        "p.toml:2: plugins.x.category: \"good\": 'good' is provided by several distributions: "
        "better, good\n1 problem.\n",
    )


def test_broken_distribution_does_not_spoil_the_next(tmp_path: Path, site: Path) -> None:
    source = (
        "class Bad(Plugin):\n    category = 'bad'\n    @classmethod\n    @hookimpl\n"
        "    def pingap_plugin_categories(cls): raise RuntimeError('no')\n"
    )
    write_distribution(site, "bad", source, {"bad": "bad:Bad"})
    toml = '[plugins.a]\ncategory = "bad"\n[plugins.b]\ncategory = "good"\n'
    assert check(tmp_path, toml) == (
        2,
        'p.toml:2: plugins.a.category: "bad": bad cannot be loaded: no\n1 problem.\n',
    )


def test_hook_pingap_plugin_categories_of_a_module_names_several(tmp_path: Path) -> None:
    source = GOOD + "\n@hookimpl\ndef pingap_plugin_categories(): return [Good, Fixed]\n"
    write_distribution(
        tmp_path / "site", "several", source, {"good": "several", "fixed": "several"}
    )
    toml = '[plugins.a]\ncategory = "good"\n[plugins.b]\ncategory = "fixed"\n'
    assert check(tmp_path, toml) == (0, "The configuration is valid.\n")


def test_only_what_is_used_is_imported(tmp_path: Path, site: Path) -> None:
    """Declaring an entry point is no reason to import: that costs time, and may fail."""
    mark = tmp_path / "imported"
    source = f"open({str(mark)!r}, 'w').close()\n{UNKEPT.replace('unkept', 'idle')}"
    write_distribution(
        site, "idle", source, {"idle": "idle:Unkept", "location:idle": "idle:Unkept"}
    )
    toml = '[plugins.x]\ncategory = "good"\n[locations.a]\nplugins = ["x"]\n'
    assert check(tmp_path, toml) == (0, "The configuration is valid.\n")
    assert not mark.exists()
    code, _ = check(tmp_path, '[plugins.x]\ncategory = "idle"\n')
    assert code == 2
    assert mark.exists()


def test_a_category_that_is_nearly_right_is_told(tmp_path: Path, site: Path) -> None:
    write_distribution(site, "limit", GOOD, {"header-limit": "limit:Good"})
    code, told = check(tmp_path, '[plugins.x]\ncategory = "header_limit"\n')
    assert code == 2
    text = 'no installed distribution provides this category; did you mean "header-limit"?'
    assert text in told


class Text(Plugin):
    """Forgets to make a response of its text."""

    category = "text"

    @hookimpl
    def request(self) -> str:
        return "too long"


def test_a_call_that_returns_what_its_phase_does_not_take() -> None:
    proxy = Proxy()
    proxy.location("/", plugins=[Text])
    with proxy:
        assert proxy.get("/").status == 500
        proxy.expect_error("TypeError: it returned str, which its phase does not accept")
