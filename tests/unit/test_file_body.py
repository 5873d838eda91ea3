"""Bodies that are files: what is refused, what is read, and that a descriptor is closed exactly once."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from contextlib import suppress
from pathlib import Path

import anyio.to_thread
import pytest
from support.waiting import until

from pingap import FileBody, Response
from pingap.http.errors import FileBodyError
from pingap.plugins import file_body
from pingap.plugins.file_body import PIECE, OpenFile

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 2000)
    return path


CONTENT = bytes(range(256)) * 2000


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def closed(descriptor: int) -> None:
    """Return when a descriptor is closed."""
    async with asyncio.timeout(10):
        while is_open(descriptor):  # noqa: ASYNC110  (threads tell nobody)
            await asyncio.sleep(0.001)


async def content(body: FileBody) -> bytes:
    return b"".join([piece async for piece in body])


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("start", "length"),
    [(0, None), (5, None), (0, 0), (len(CONTENT), 0), (1000, 1), (PIECE - 1, 2), (7, 3 * PIECE)],
)
async def test_a_part_is_read(path: Path, start: int, length: int | None, opened: bool) -> None:
    body = FileBody(os.open(path, os.O_RDONLY) if opened else path, start, length)
    expected = CONTENT[start:] if length is None else CONTENT[start : start + length]
    assert body.content_length == len(expected)
    assert body.stat.st_size == len(CONTENT)
    assert Response(200, body).content_length == len(expected)
    assert await content(body) == expected


async def test_a_path_may_be_sent_again_and_a_descriptor_may_not(path: Path) -> None:
    body = FileBody(path, length=3)
    assert [await content(body), await content(body)] == [CONTENT[:3]] * 2
    body = FileBody(os.open(path, os.O_RDONLY), length=3)
    assert await content(body) == CONTENT[:3]
    with pytest.raises(FileBodyError, match="was closed"):
        await content(body)


@pytest.mark.parametrize(
    ("start", "length"), [(-1, None), (0, -1), (len(CONTENT) + 1, None), (1, len(CONTENT))]
)
def test_a_part_that_is_not_there_is_refused(path: Path, start: int, length: int | None) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    for file in (path, descriptor):
        with pytest.raises(ValueError, match=f"has {len(CONTENT)} bytes"):
            FileBody(file, start, length)
    assert not is_open(descriptor)


def test_only_regular_files_are_taken(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(ValueError, match="not a regular file"):
            FileBody(path)
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(ValueError, match="not a regular file"):
        FileBody(reading)
    assert not is_open(reading)
    with pytest.raises(FileNotFoundError):
        FileBody(tmp_path / "none")
    with pytest.raises(OSError, match="descriptor"):
        FileBody(reading)


async def test_a_path_that_is_another_file_by_now_is_refused(path: Path, tmp_path: Path) -> None:
    body = FileBody(path)
    (tmp_path / "new").write_bytes(CONTENT)
    (tmp_path / "new").replace(path)
    with pytest.raises(FileBodyError, match="was replaced"):
        await content(body)
    os.unlink(path)  # noqa: PTH108
    os.mkfifo(path)
    with pytest.raises(FileBodyError, match="was replaced"):
        await content(body)
    os.unlink(path)  # noqa: PTH108
    with pytest.raises(FileBodyError, match="No such file"):
        await content(body)


async def test_a_file_that_shrinks_is_noticed(path: Path) -> None:
    pieces = FileBody(path).__aiter__()
    assert await anext(pieces) == CONTENT[:PIECE]
    os.truncate(path, PIECE + 10)
    with pytest.raises(FileBodyError, match="shrank"):
        await anext(pieces)


async def test_a_file_that_is_opened_for_nobody_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its opener was cancelled meanwhile; the thread goes on."""
    began, go, files = threading.Event(), threading.Event(), []
    open_path = FileBody._open_path

    def slowly(body: FileBody) -> OpenFile:
        began.set()
        assert go.wait(10)
        files.append(open_path(body))
        return files[0]

    monkeypatch.setattr(FileBody, "_open_path", slowly)
    task = asyncio.create_task(FileBody(path).open())
    assert await asyncio.to_thread(began.wait, 10)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    go.set()
    await asyncio.to_thread(until, lambda: files and files[0]._over)
    assert not is_open(files[0]._descriptor)


async def test_a_file_that_is_overwritten_is_noticed(path: Path) -> None:
    body = FileBody(path)
    pieces = body.__aiter__()
    assert await anext(pieces) == CONTENT[:PIECE]
    with path.open("r+b") as file:
        file.write(b"others")
    os.utime(path, ns=(0, body.stat.st_mtime_ns + 1))  # as a clock of any precision would do
    with pytest.raises(FileBodyError, match="was overwritten"):
        await anext(pieces)


def test_a_file_that_is_overwritten_is_noticed_without_a_thread(path: Path) -> None:
    file = OpenFile(os.open(path, os.O_RDONLY), "file", path.stat())
    os.utime(path, ns=(0, 1))
    try:
        with pytest.raises(FileBodyError, match="was overwritten"):
            file.read_cached(0, 10)
    finally:
        file.close()


async def test_a_file_that_grows_is_sent_as_it_was(path: Path) -> None:
    body = FileBody(path)
    with path.open("ab") as file:
        file.write(b"more")
    assert await content(body) == CONTENT


async def test_a_file_that_grows_while_it_is_sent_is_sent_as_it_was(path: Path) -> None:
    pieces = FileBody(path).__aiter__()
    received = [await anext(pieces)]
    for _ in range(2):
        with path.open("ab") as file:
            file.write(b"more")
        received += [piece async for piece in pieces]
    assert b"".join(received) == CONTENT


@pytest.mark.parametrize("truncates", [True, False])
async def test_a_file_that_is_overwritten_by_a_longer_one_is_noticed(
    path: Path, truncates: bool
) -> None:
    pieces = FileBody(path).__aiter__()
    assert await anext(pieces) == CONTENT[:PIECE]
    with path.open("wb" if truncates else "r+b") as file:
        file.write(b"other" * len(CONTENT))
    with pytest.raises(FileBodyError, match="was overwritten"):
        await anext(pieces)


def test_a_longer_file_is_noticed_without_a_thread(path: Path) -> None:
    file = OpenFile(os.open(path, os.O_RDONLY), "file", path.stat())
    if file.read_cached(0, 10) is not None:
        path.write_bytes(b"other" * len(CONTENT))
        with pytest.raises(FileBodyError, match="was overwritten"):
            file.read_cached(10, 10)
    file.close()


def test_a_length_that_is_not_that_of_the_file_is_refused(path: Path) -> None:
    response = Response(200, FileBody(path, 10))
    with pytest.raises(ValueError, match="but the body has"):
        response.content_length = 10
    response.content_length = None
    response.body = b"abc"
    assert response.content_length == 3


# The descriptor.


def test_a_body_that_is_not_sent_closes_its_descriptor(path: Path) -> None:
    gc.disable()
    try:
        descriptor = os.open(path, os.O_RDONLY)
        body = FileBody(descriptor)
        body.close()
        assert not is_open(descriptor)
        other = os.open(path, os.O_RDONLY)  # it has the same number
        assert other == descriptor
        body.close()
        del body
        assert is_open(other)
        response = Response(200, FileBody(other))
        assert is_open(other)
        del response
        assert not is_open(other)
    finally:
        gc.enable()


async def test_an_iteration_that_is_broken_off_closes_the_file(path: Path) -> None:
    before = open_files()
    pieces = FileBody(path).__aiter__()
    await anext(pieces)
    await pieces.aclose()  # type: ignore[attr-defined]
    assert open_files() == before


async def test_a_descriptor_is_not_closed_under_a_thread_that_reads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    pread = os.pread

    def slow(descriptor: int, size: int, place: int) -> bytes:
        began.set()
        assert go_on.wait(10)
        assert is_open(descriptor)
        return pread(descriptor, size, place)

    monkeypatch.setattr(file_body.os, "pread", slow)
    descriptor = os.open(path, os.O_RDONLY)
    file = OpenFile(descriptor, "file", os.fstat(descriptor))
    reading = asyncio.create_task(file.read(0, 10))
    assert await anyio.to_thread.run_sync(began.wait, 10)
    reading.cancel()
    await asyncio.wait([reading])
    file.close()
    assert is_open(descriptor)
    go_on.set()
    async with asyncio.timeout(10):
        while is_open(descriptor):  # noqa: ASYNC110  (threads tell nobody)
            await asyncio.sleep(0.001)


def test_cached_bytes_are_read_without_a_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.read_bytes()
    file = OpenFile(os.open(path, os.O_RDONLY), "file", path.stat())
    found = file.read_cached(100, 50)
    assert found in (CONTENT[100:150], None)  # None where the file system cannot tell

    def would_block(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(file_body.os, "preadv", would_block)
    assert file.read_cached(100, 50) is None

    def unsupported(*_: object) -> int:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(file_body.os, "preadv", unsupported)
    assert file.read_cached(100, 50) is None
    monkeypatch.undo()
    assert file.read_cached(100, 50) is None  # it is not asked again
    file.close()


@pytest.mark.skipif(not file_body._NO_WAIT, reason="the system cannot say what is in memory")
def test_a_file_that_shrank_is_noticed_without_a_thread(path: Path) -> None:
    file = OpenFile(os.open(path, os.O_RDONLY), "file", path.stat())
    os.truncate(path, 100)
    with suppress(FileBodyError):  # raised, unless these bytes are not cached
        assert file.read_cached(90, 50) is None
        file._cached = False
    if file._cached:
        for place in (90, 100):
            with pytest.raises(FileBodyError, match="shrank to 100 bytes"):
                file.read_cached(place, 50)
    file.close()
