"""What is made from the code is current, and what people wrote names everything there is."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from docs.blocks import DOCS

import pingap
from pingap import hookspecs
from pingap.config.variables import CONTEXT_KEYS, VARIABLES
from pingap.hookspecs import PHASES
from pingap.observability.access_log import PRESETS, compile_format
from pingap.observability.counters import LocationStats
from pingap.observability.handshakes import HandshakeMetrics, HandshakeStats
from pingap.proxy.exposition import ServerMetrics

APPLICATION_HOOKS = [name for name in vars(hookspecs) if name.startswith("pingap_")]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(DOCS))  # as it is for a script
    spec.loader.exec_module(module)
    sys.path.remove(str(DOCS))
    return module


def test_generated_pages_are_current() -> None:
    stale = generator().stale_pages()
    assert [path.name for path in stale] == [], "run `make docs`"


def signatures() -> dict[str, str]:
    """Return the first lines of all hooks, as the source of ``hookspecs`` has them."""
    tree = ast.parse(Path(hookspecs.__file__).read_text())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            assert node.returns is not None
            result = ast.unparse(node.returns)
            found[node.name] = f"{word} {node.name}({ast.unparse(node.args)}) -> {result}"
    return found


@pytest.mark.parametrize("hook", [*PHASES, *APPLICATION_HOOKS])
def test_hook_is_documented_with_its_exact_signature(hook: str) -> None:
    page = (DOCS / "hooks.md").read_text()
    assert f"### `{hook}`\n\n```python\n{signatures()[hook]}\n```" in page


@pytest.mark.parametrize("hook", [*PHASES, *APPLICATION_HOOKS])
def test_hook_says_what_an_exception_does(hook: str) -> None:
    text = inspect.getdoc(getattr(hookspecs, hook)) or ""
    assert ":raises Exception:" in text
    assert ".. versionadded::" in text


@pytest.mark.parametrize("phase", PHASES)
def test_phase_stands_in_the_life_of_a_request(phase: str) -> None:
    assert f"| `{phase}` |" in (DOCS / "life-of-a-request.md").read_text()
    assert f">{phase}</text>" in (DOCS / "assets" / "life-of-a-request.svg").read_text()


@pytest.mark.parametrize("name", pingap.__all__)
def test_public_name_exists_and_is_documented(name: str) -> None:
    value = getattr(pingap, name)
    page = (DOCS / "api.md").read_text()
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value)
        assert value.__doc__
    assert f"::: pingap.{name}\n" in page or f"`{name}`" in page


def test_page_of_public_names_lists_nothing_else() -> None:
    page = (DOCS / "api.md").read_text()
    assert set(re.findall(r"^::: pingap\.(\w+)", page, re.MULTILINE)) <= set(pingap.__all__)


def test_stability_names_the_contract_that_is() -> None:
    major, minor = hookspecs.CONTRACT
    page = (DOCS / "stability.md").read_text()
    assert f"it is **{major}.{minor}** now" in page
    assert f'`contract = "{major}.{minor}"`' in page


def test_access_log_presets_and_tags_are_documented() -> None:
    page = (DOCS / "access-log.md").read_text()
    for name, text in PRESETS.items():
        assert f"| `{name}` | `{text}` |" in page
    with pytest.raises(ValueError, match="unknown tag") as caught:
        compile_format("{nope}")
    tags = str(caught.value).partition("(tags: ")[2].rstrip(")").split(", ")
    assert len(tags) > 10
    assert [tag for tag in tags if f"`{{{tag}}}`" not in page] == []


def test_context_keys_and_variables_are_documented() -> None:
    log, configuration = (
        (DOCS / name).read_text() for name in ("access-log.md", "configuration.md")
    )
    assert [key for key in CONTEXT_KEYS if f"| `{key}` |" not in log] == []
    assert [name for name in VARIABLES if f"`${name}`" not in configuration] == []


def test_metrics_are_documented() -> None:
    page = (DOCS / "metrics.md").read_text()
    failures = {("plugin", "location"): 1}
    exposition = (
        ServerMetrics(
            "web",
            {"all": LocationStats()},
            failures,
            handshakes=HandshakeMetrics(HandshakeStats()),
        )
        .page()
        .decode()
    )
    for line in exposition.splitlines():
        if line.startswith("# TYPE "):
            name = line.split(" ")[2]
            assert f"| `{name}` |" in page


def test_placeholders_of_the_error_page_are_documented() -> None:
    from pingap.proxy import error_page

    page = (DOCS / "errors.md").read_text()
    placeholders = set(re.findall(r"``(\{\{\w+\}\})``", error_page.ErrorPage.__doc__ or ""))
    assert placeholders
    assert [one for one in placeholders if f"| `{one}` |" not in page] == []
