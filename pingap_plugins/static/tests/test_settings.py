"""Settings: what is wrong is found when the configuration is loaded, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from pingap_static.paths import NoSuchPath, OutsideOfRoot, names_of, stripped
from pingap_static.plugin import Directory

from pingap.testing import Proxy, configuration_problems


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('path = "{root}/none"', 'the directory "{root}/none" cannot be read: No such file or directory'),
        ('path = "{root}/index.html"', "Not a directory"),
        ('fallback = "/none.html"', 'fallback: "/none.html" cannot be sent: No such file or directory'),
        ('fallback = "index.html"', 'expected a file below path that begins with "/"'),
        ('fallback = "/../x"', "expected a file below path"),
        ('error_pages = {{ 404 = "/none.html" }}', 'error_pages.404: "/none.html" cannot be sent'),
        ('error_pages = {{ 200 = "/index.html" }}', "expected one of 400, 403, 404"),
        ('index = "a/b"', "expected the name of a file"),
        ('strip_prefix = "static"', "expected the beginning of a path"),
        ('charset = "utf 8"', "expected the name of a charset"),
        ('mime_types = {{ md = "text" }}', "expected a media type"),
        ('mime_types = {{ md = "text/plain; a=\\n" }}', "expected a media type"),
        ('chunk_size = "1GiB"', "expected at most 16777216"),
        ('max_age = "soon"', "soon"),
        ('headers = ["X"]', "is not a header"),
        ("autoindx = true", 'unknown key; did you mean "autoindex"?'),
    ],
)  # fmt: skip
def test_mistakes(root: Path, line: str, problem: str) -> None:
    (root / "index.html").write_bytes(b"page")
    path = "" if line.startswith("path") else f'path = "{root}"\n'
    toml = f'[plugins.site]\ncategory = "directory"\n{path}{line.format(root=root)}\n'
    [found] = configuration_problems(toml)
    assert found.startswith("pingap.toml:")
    assert "plugins.site" in found
    assert problem.format(root=root) in found


def test_all_keys_of_pingap(root: Path, proxy: Proxy) -> None:
    (root / "a.txt").write_bytes(b"a")
    settings = {
        "path": str(root), "index": "index.htm", "autoindex": True, "chunk_size": "8kb",
        "max_age": "1d", "private": True, "charset": "utf-8", "download": True,
        "headers": ["X-A: b"], "follow_symlinks": False, "step": "proxy_upstream",
    }  # fmt: skip
    proxy.location("/", plugins=[("directory", settings)])
    answer = proxy.get("/a.txt")
    assert answer.headers["Cache-Control"] == "private, max-age=86400"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert answer.headers["X-A"] == "b"


@pytest.mark.parametrize("size", [1, 4096, "4kb", 65536])
def test_chunk_size_has_a_minimum(root: Path, size: object) -> None:
    directory = Directory(
        Directory.Settings.model_validate({"path": str(root), "chunk_size": size})
    )
    assert directory._limit >= 4096


def test_the_working_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert Directory(Directory.Settings())._lookup.root == str(root)
    monkeypatch.setenv("HOME", str(root.parent))
    assert Directory(Directory.Settings(path="~/www"))._lookup.root == str(root)


def test_advice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    (root / ".git").mkdir()

    def advised(**settings: object) -> list[str]:
        return [
            key for key, _, _ in Directory(Directory.Settings.model_validate(settings)).advice()
        ]

    assert advised() == ["path"]
    assert advised(path="/") == ["path"]
    assert advised(path=str(root)) == []
    assert advised(path=str(root), private=True) == ["private"]
    assert advised(path=str(root), dot_files=True) == ["dot_files"]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/", ()),
        ("", ()),
        ("/a/b", (b"a", b"b")),
        ("/a//./b/", (b"a", b"b")),
        ("/a/../b", (b"b",)),
        ("/%25", (b"%",)),
        ("/é%FF", (b"\xc3\xa9\xff",)),
    ],
)
def test_names(path: str, names: tuple[bytes, ...]) -> None:
    assert names_of(path) == names


@pytest.mark.parametrize(("path", "error"), [("/..", OutsideOfRoot), ("/a/../..", OutsideOfRoot), ("/%2E%2E", OutsideOfRoot), ("/a%2Fb", NoSuchPath), ("/a%00", NoSuchPath)])  # fmt: skip
def test_impossible_names(path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        names_of(path)


@pytest.mark.parametrize(
    ("path", "prefix", "rest"),
    [("/a/b", "/a", "/b"), ("/a", "/a", ""), ("/ab", "/a", None), ("/b", "/a", None), ("/b", "", "/b")],
)  # fmt: skip
def test_prefixes(path: str, prefix: str, rest: str | None) -> None:
    assert stripped(path, prefix) == rest
