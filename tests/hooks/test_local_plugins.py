"""Plugins of one file: found, checked and served like others; told with file and line if not."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.check import check
from support.process import Process

HELLO = '''\
"""Greet."""

from __future__ import annotations

from dataclasses import dataclass

from pingap.build.registry import installed_registry
from pingap import Plugin, PluginSettings, Request, Response, hookimpl


@dataclass
class Greeting:
    text: str


class Settings(PluginSettings):
    name: str = "world"
    """Whom to greet."""
    count: int = 1


class Hello(Plugin):
    """Greets."""

    Settings = Settings
    steps = ("request", "proxy_upstream")

    def __init__(self, settings: Settings) -> None:
        if settings.count == 13:
            raise ValueError("13 is not allowed")
        self.greeting = Greeting(f"hello {settings.name}")

    @hookimpl
    def request(self, request: Request) -> Response:
        return Response.text(200, self.greeting.text)
'''
TWO = HELLO + "\n\nclass Bye(Hello):\n    pass\n"
TOML = """
[plugins.greet]
category = "python"
path = "plugins/hello.py"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "plugins").mkdir()
    path = tmp_path / "plugins" / "hello.py"
    path.write_text(HELLO)
    return path


def told(tmp_path: Path, more: str = "", toml: str = TOML) -> str:
    """Return the only thing that is wrong."""
    code, said = check(tmp_path, toml + more)
    assert code == 2
    problem, count, _ = said.split("\n")
    assert count == "1 problem."
    return problem


def test_a_file_is_a_plugin(tmp_path: Path, file: Path) -> None:
    toml = TOML + 'step = "proxy_upstream"\nname = "you"\n[locations.a]\nplugins = ["greet"]\n'
    assert check(tmp_path, toml) == (0, "The configuration is valid.\n")
    assert sorted(path.name for path in file.parent.iterdir()) == ["hello.py"]  # no __pycache__


def test_it_answers_and_several_tables_share_a_file(tmp_path: Path) -> None:
    plugins = tmp_path / "conf" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "hello.py").write_text(
        TWO.replace('"""Greet."""', 'open(__file__ + ".runs", "a").write("x")').replace(
            "from __future__ import annotations\n", ""
        )
    )
    toml = """
    [plugins.you]
    category = "python"
    path = "plugins/hello.py"
    class = "Hello"
    name = "you"
    [plugins.me]
    category = "python"
    path = "plugins/hello.py"
    class = "Bye"
    name = "me"
    [locations.you]
    path = "/you"
    plugins = ["you"]
    [locations.me]
    path = "/me"
    plugins = ["me"]
    [servers.web]
    addr = "127.0.0.1:0"
    locations = ["you", "me"]
    """
    with Process(toml, tmp_path / "conf") as proxy, proxy.connect() as client:
        assert client.get("/you").body == b"hello you"
        assert client.get("/me").body == b"hello me"
    assert (plugins / "hello.py.runs").read_text() == "x"


def test_paths_begin_at_the_directory_of_a_configuration_of_many_files(tmp_path: Path) -> None:
    from pingap.build.graph import build
    from pingap.build.registry import installed_registry
    from pingap.config import load

    (tmp_path / "conf" / "tables").mkdir(parents=True)
    (tmp_path / "conf" / "tables" / "plugins.toml").write_text(
        '[plugins.x]\ncategory = "python"\npath = "hello.py"\n'
    )
    (tmp_path / "conf" / "hello.py").write_text(HELLO)
    for spelling in ("", "/", "?separation"):
        runtime = build(load(f"{tmp_path}/conf{spelling}"), installed_registry())
        runtime.log_files.close()
        assert [type(one.plugin).__name__ for one in runtime.plugins] == ["Hello"]


def test_settings_are_checked_as_those_of_others(tmp_path: Path, file: Path) -> None:
    assert told(tmp_path, 'nam = "you"\n') == (
        'p.toml:5: plugins.greet.nam: unknown key; did you mean "name"?'
    )
    assert told(tmp_path, 'count = "1"\n') == (
        'p.toml:5: plugins.greet.count: found "1" (string), expected an integer'
    )
    assert told(tmp_path, "count = 13\n") == (
        "p.toml:2: plugins.greet: cannot be built: 13 is not allowed"
    )
    assert told(tmp_path, 'step = "logging"\n') == (
        'p.toml:5: plugins.greet.step: found "logging", expected "request" or "proxy_upstream"'
    )


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ('[plugins.x]\ncategory = "python"\n', "p.toml:1: plugins.x.path: this key is required"),
        (
            '[plugins.x]\ncategory = "python"\npath = 3\n',
            "p.toml:3: plugins.x.path: found 3 (integer), expected a string",
        ),
        (
            '[plugins.x]\ncategory = "python"\npath = ""\n',
            'p.toml:3: plugins.x.path: found "" (string), expected at least 1 character',
        ),
        (
            '[plugins.x]\ncategory = "python"\npath = "no.py"\n',
            'p.toml:3: plugins.x.path: "no.py" cannot be read: No such file or directory',
        ),
        (
            '[plugins.x]\ncategory = "python"\npath = "plugins"\n',
            'p.toml:3: plugins.x.path: "plugins" cannot be read: Is a directory',
        ),
    ],
)
def test_a_wrong_path_is_told(tmp_path: Path, file: Path, toml: str, problem: str) -> None:
    assert told(tmp_path, toml=toml) == problem


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "x = 1\nprint(\n",
            "plugins/hello.py:2: plugins.greet: is not valid Python: '(' was never closed",
        ),
        (
            "import os\n\nimport nonesuch_module\n",
            "plugins/hello.py:3: plugins.greet: cannot be loaded: ModuleNotFoundError: "
            "No module named 'nonesuch_module'",
        ),
        (
            "def f():\n    return 1 / 0\n\nf()\n",
            "plugins/hello.py:2: plugins.greet: cannot be loaded: ZeroDivisionError: "
            "division by zero",
        ),
        (
            "from pingap import *\n\nclass A(Plugin):\n    contract = '1.9'\n",
            "plugins/hello.py:3: plugins.greet: A: needs hook contract 1.9",
        ),
        (
            "from pingap import *\n\nclass A(Plugin):\n    @hookimpl\n"
            "    def response_body(self): pass\n",
            'plugins/hello.py:3: plugins.greet: A.response_body: set body = "reads"',
        ),
        (
            "from pingap import *\n\nclass A(Plugin):\n    def request(self): pass\n",
            "plugins/hello.py:4: plugins.greet: A.request: is named after a phase: mark it with "
            "@hookimpl, or rename it",
        ),
        (
            "from pingap import *\n\nclass A(Plugin):\n    @hookimpl\n    def request(self, ctxt): 0\n",
            'plugins/hello.py:4: plugins.greet: A.request: request has no argument "ctxt"; '
            'did you mean "ctx"? (arguments: request, ctx)',
        ),
        (
            "from pingap import *\nclass A(Plugin):\n    @hookimpl\n"
            "    def request(self, ctx=None): 0\n",
            'plugins/hello.py:3: plugins.greet: A.request: "ctx" has a default value, so it is '
            "never passed: leave that away",
        ),
        (
            "from pingap import *\nclass A(Plugin):\n    class Settings(PluginSettings):\n"
            "        path: str\n",
            'plugins/hello.py:2: plugins.greet: A: "path" cannot be a setting of its own here',
        ),
        (
            "from pingap import *\nclass A(Plugin):\n    @classmethod\n    @hookimpl\n"
            "    async def pingap_startup(cls): pass\n",
            "plugins/hello.py:2: plugins.greet: A.pingap_startup: only distributions have"
            " application hooks",
        ),
        (
            "from pingap import *\n",
            'p.toml:4: plugins.greet.path: "plugins/hello.py" defines no plugin: a class that is'
            " based on pingap.Plugin",
        ),
        (
            TWO,
            'p.toml:4: plugins.greet.path: "plugins/hello.py" defines several plugins (Hello, Bye):'
            ' choose one with class = "Hello"',
        ),
        (
            "x = '\xe9'".encode("latin-1"),
            "plugins/hello.py:1: plugins.greet: is not valid Python: ",
        ),
        (b"x = 1\0", "p"),  # which line is told depends on the version of Python
    ],
)
def test_a_file_that_is_no_plugin_is_told(
    tmp_path: Path, file: Path, source: str | bytes, problem: str
) -> None:
    file.write_bytes(source if isinstance(source, bytes) else source.encode())
    assert told(tmp_path).startswith(problem)


def test_a_class_that_is_not_there_is_told_with_the_nearest(tmp_path: Path, file: Path) -> None:
    assert told(tmp_path, 'class = "Helo"\n') == (
        'p.toml:4: plugins.greet.path: "plugins/hello.py" defines no plugin "Helo";'
        ' did you mean "Hello"?'
    )


def test_a_phase_that_does_not_exist_is_told(tmp_path: Path, file: Path) -> None:
    file.write_text(HELLO.replace("def request", "def reqest"))
    problem = told(tmp_path)
    line = HELLO[: HELLO.index("    @hookimpl")].count("\n") + 1
    text = 'plugins.greet: Hello.reqest: there is no such hook; did you mean "request"?'
    assert problem == f"plugins/hello.py:{line}: {text}"


def test_a_file_that_everyone_can_write_is_refused(tmp_path: Path, file: Path) -> None:
    file.chmod(0o666)
    expected = 'p.toml:4: plugins.greet.path: "plugins/hello.py" is writable by everyone'
    assert told(tmp_path) == f"{expected}: chmod o-w it"
    file.chmod(0o664)  # the group is the operator's business
    assert check(tmp_path, TOML)[0] == 0


def test_a_file_that_everyone_can_replace_is_refused(tmp_path: Path, file: Path) -> None:
    file.parent.chmod(0o777)
    assert "is in a directory that is writable by everyone" in told(tmp_path)
    file.parent.chmod(0o1777)  # only its owner can replace it, as in /tmp
    assert check(tmp_path, TOML)[0] == 0


def test_a_failure_names_the_line_of_the_file(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "hello.py").write_text(HELLO.replace("self.greeting.text)", "self.nonesuch)"))
    toml = """
    [plugins.greet]
    category = "python"
    path = "hello.py"
    [locations.a]
    plugins = ["greet"]
    [servers.web]
    addr = "127.0.0.1:0"
    locations = ["a"]
    """
    with Process(toml, conf) as proxy, proxy.connect() as client:
        assert client.get("/").status == 500
        log = proxy.wait_for_log("nonesuch")
    line = HELLO[: HELLO.index("return Response.text")].count("\n") + 1
    assert f'File "{conf}/hello.py", line {line}, in request\n    return Response.text' in log
