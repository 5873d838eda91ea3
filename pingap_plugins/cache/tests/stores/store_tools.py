"""Writing and reading whole entries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from pingap_cache.stores.interface import Entry, Store

HERE = Path(__file__).parent


async def put(
    store: Store,
    key: bytes,
    body: bytes = b"",
    *,
    head: bytes = b"head",
    step: int = 50_000,
    keep: float = 1000.0,
    **labels: Any,
) -> bool:
    """Store an entry, written in steps; return whether it was stored."""
    writer = store.write(key, head, keep=keep, **labels)
    for place in range(0, len(body), step):
        await writer.write(body[place : place + step])
    return await writer.commit()


async def body_of(
    store: Store, key: bytes, entry: Entry, start: int = 0, stop: int | None = None
) -> bytes:
    """Return (a part of) a body as it is read."""
    end = entry.size if stop is None else stop
    return b"".join([chunk async for chunk in store.read(key, entry, start, end)])


async def found(store: Store, key: bytes) -> tuple[bytes, bytes, bool] | None:
    """Return the head and the body of an entry, and whether it is stale."""
    entry = await store.get(key)
    if entry is None:
        return None
    body = await body_of(store, key, entry)
    assert entry.body is None or entry.body == body
    assert len(body) == entry.size
    return entry.head, body, entry.stale


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run code in another process; it can import this module."""
    prelude = f"import sys; sys.path.append({str(HERE)!r})\n"
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line of its output."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
