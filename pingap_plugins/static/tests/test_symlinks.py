"""Symbolic links: followed, or never out of the root, whatever somebody does to them meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pingap_static.opening import LeavesRoot, open_below

from pingap.testing import Proxy

Site = Callable[..., Proxy]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def read(root: Path, path: str, *, follow: bool = False) -> bytes:
    descriptor = open_below(str(root), tuple(os.fsencode(one) for one in path.split("/") if one), follow=follow)  # fmt: skip
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


@pytest.fixture
def tree(root: Path) -> Path:
    (root.parent / "secret").write_bytes(b"secret")
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/f").write_bytes(b"inside")
    return root


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("a/b/f", "link"),
        ("a/b", "link/f"),
        ("a/../a/./b//f", "link"),
        ("{root}/a/b/f", "link"),
        ("{root}/a", "link/b/f"),
        ("{parent}/www/a", "link/b/f"),
        ("a/second", "link"),
    ],
)
def test_links_inside(tree: Path, target: str, path: str) -> None:
    (tree / "a/second").symlink_to("b/f")
    (tree / "link").symlink_to(target.format(root=tree, parent=tree.parent))
    assert read(tree, path) == b"inside"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("../secret", "link"),
        ("{parent}/secret", "link"),
        ("a/../../secret", "link"),
        ("..", "link/secret"),
        ("{parent}", "link/secret"),
        ("/", "link/etc/passwd"),
        ("/etc/passwd", "link"),
        ("second", "link"),
    ],
)
def test_links_outside(tree: Path, target: str, path: str) -> None:
    (tree / "second").symlink_to("../secret")
    (tree / "link").symlink_to(target.format(root=tree, parent=tree.parent))
    before = descriptors()
    with pytest.raises(LeavesRoot):
        read(tree, path)
    assert read(tree, path, follow=True)
    assert descriptors() == before


def test_loops_and_links_to_nowhere(tree: Path) -> None:
    (tree / "loop").symlink_to("loop")
    (tree / "nowhere").symlink_to("none")
    with pytest.raises(OSError, match="Too many levels"):
        read(tree, "loop")
    with pytest.raises(FileNotFoundError):
        read(tree, "nowhere")
    with pytest.raises(NotADirectoryError):
        read(tree, "a/b/f/x")


def test_the_root_may_be_a_link(tree: Path) -> None:
    (tree.parent / "current").symlink_to(tree)
    (tree / "link").symlink_to(tree / "a/b/f")
    assert read(tree.parent / "current", "link") == b"inside"


def test_what_clients_get(site: Site, tree: Path) -> None:
    (tree / "out").symlink_to(tree.parent / "secret")
    (tree / "in").symlink_to("a/b/f")
    (tree / "folder").symlink_to(tree.parent)
    proxy = site(follow_symlinks=False, autoindex=True)
    assert proxy.get("/in").body == b"inside"
    answer = proxy.get("/out")
    assert answer.status == 403
    assert "You do not have permission to access this resource, file: /out" in answer.text
    assert proxy.get("/folder/").status == 403
    names = [one["name"] for one in proxy.get("/", headers={"Accept": "application/json"}).json()]
    assert names == ["a", "in"]


def test_links_are_followed_by_default(site: Site, tree: Path) -> None:
    (tree / "out").symlink_to(tree.parent / "secret")
    assert site().get("/out").body == b"secret"


def test_a_directory_that_becomes_a_link_meanwhile(tree: Path) -> None:
    """Somebody swaps a directory and a link as fast as possible: what is read is never outside."""
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"secret")
    (tree / "d").mkdir()
    (tree / "d/f").write_bytes(b"inside")
    (tree.parent / "link").symlink_to(outside)
    over = threading.Event()

    def swap() -> None:
        d, kept, link = tree / "d", tree.parent / "kept", tree.parent / "link"
        while not over.is_set():
            d.rename(kept)
            link.rename(d)
            d.rename(link)
            kept.rename(d)

    thread = threading.Thread(target=swap)
    thread.start()
    found = {"inside": 0, "refused": 0}
    try:
        for _ in range(3000):
            try:
                assert read(tree, "d/f") == b"inside"
                found["inside"] += 1
            except OSError:
                found["refused"] += 1
    finally:
        over.set()
        thread.join()
    assert all(found.values())
