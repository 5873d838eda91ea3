"""A socket of each cache in each worker, for ``pingap cache``: a line of JSON is answered by others.

The first line of an answer is an object. If that has ``entries``, further lines have more of them, so that no
line takes the event loop long.

The sockets are in a directory that only the user of pingap (and root) can look into.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from pingap import DurableStore

log = logging.getLogger("pingap.cache")

FOLDER: Final = "pingap-cache"
LONGEST_LINE: Final = 64 * 1024
SECONDS: Final = 60.0
"""How long a command may take."""

ENTRIES: Final = 50
"""Entries in a line."""
LONGEST_NAME: Final = 100
"""Bytes of a socket's name; some systems allow no more than 103."""
_OWN_FILES: Final = Path("/proc/self/fd")

Answer: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
_numbers = itertools.count(1)


class CommandError(Exception):
    """A command cannot be carried out; the message is shown to the user."""


def folder(store: DurableStore) -> Path:
    """Return the directory of the sockets."""
    return store.directory / FOLDER


async def serve(place: Path, answer: Answer) -> None:
    """Answer commands until cancelled. What prevents it is logged: requests do not depend on it.

    :param place: the directory of the sockets.
    :param answer: carries a command out; may raise ``CommandError``.
    """
    path = place / f"{os.getpid()}.{next(_numbers)}.sock"
    try:
        await anyio.to_thread.run_sync(_prepare, place)
        with _within_reach(path) as name:
            listener = await anyio.create_unix_listener(name, mode=0o600)
    except (OSError, ValueError) as error:
        log.warning("pingap cache cannot reach this worker: %s: %s", path, error)
        return
    try:
        async with listener:
            await listener.serve(lambda stream: _talk(stream, answer))
    finally:
        _remove(path)


@contextmanager
def _within_reach(path: Path) -> Iterator[str]:
    """Name a socket so that the name is not too long for the system, as far as there is a way."""
    if len(os.fsencode(path)) <= LONGEST_NAME or not _OWN_FILES.exists():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{_OWN_FILES}/{folder}/{path.name}"
    finally:
        os.close(folder)


def _prepare(place: Path) -> None:
    """Make the directory, for this user alone, and remove sockets of processes that have ended.

    :raises OSError: it cannot be made, or is open to others.
    """
    place.parent.parent.mkdir(parents=True, exist_ok=True)
    for one in (place.parent, place):
        one.mkdir(mode=0o700, exist_ok=True)
        found = one.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(None, f"{one} is no directory for this user alone")
    for path in place.glob("*.sock"):
        if not _is_alive(path):
            _remove(path)


def _is_alive(path: Path) -> bool:
    try:
        os.kill(int(path.name.partition(".")[0]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _talk(stream: SocketStream, answer: Answer) -> None:
    async with stream:
        with anyio.move_on_after(SECONDS):
            try:
                line = await BufferedByteReceiveStream(stream).receive_until(b"\n", LONGEST_LINE)
                reply = await answer(json.loads(line))
            except CommandError as error:
                reply = {"error": str(error)}
            except (anyio.IncompleteRead, anyio.DelimiterNotFound, ValueError):
                return
            try:
                for line in lines(reply):
                    await stream.send(line)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                log.debug("a command of pingap cache left before its answer came")


def lines(reply: dict[str, Any]) -> Iterator[bytes]:
    """Yield a reply as it is sent; its entries are taken out, so that they are freed little by little."""
    entries = reply.get("entries")
    if entries is None:
        yield json.dumps(reply).encode() + b"\n"
        return
    yield json.dumps(reply | {"entries": []}).encode() + b"\n"
    entries.reverse()
    while entries:
        part = [entries.pop() for _ in range(min(ENTRIES, len(entries)))]
        yield json.dumps(part).encode() + b"\n"


# The other side.


def ask_all(place: Path, command: dict[str, Any]) -> list[dict[str, Any]]:
    """Give a command to all workers of all running instances; return their answers.

    :raises CommandError: none is running, or one refuses the command.
    """
    replies = anyio.run(_ask_all, sorted(place.glob("*.sock")), command)
    if not replies:
        raise CommandError(f"no running pingap with a cache was found ({place})")
    for reply in replies:
        if "error" in reply:
            raise CommandError(reply["error"])
    return replies


async def _ask_all(paths: list[Path], command: dict[str, Any]) -> list[dict[str, Any]]:
    replies: list[dict[str, Any]] = []

    async def ask(path: Path) -> None:
        if (reply := await _ask(path, command)) is not None:
            replies.append(reply)

    async with anyio.create_task_group() as group:
        for path in paths:
            group.start_soon(ask, path)
    return sorted(replies, key=lambda reply: (reply.get("plugin", ""), reply.get("worker", 0)))


async def _ask(path: Path, command: dict[str, Any]) -> dict[str, Any] | None:
    """Return the answer of one worker; None if it has ended."""
    try:
        with _within_reach(path) as name:
            stream = await anyio.connect_unix(name)
        async with stream:
            await stream.send(json.dumps(command).encode() + b"\n")
            with anyio.fail_after(SECONDS):
                parts = [part async for part in stream]
    except OSError:
        return None
    return joined(b"".join(parts))


def joined(data: bytes) -> dict[str, Any] | None:
    """Return the reply that came in lines; None if it is not whole, since the worker has ended."""
    if not data.endswith(b"\n"):
        return None
    first, *more = data.splitlines()
    reply: dict[str, Any] = json.loads(first)
    for line in more:
        reply["entries"] += json.loads(line)
    return reply
