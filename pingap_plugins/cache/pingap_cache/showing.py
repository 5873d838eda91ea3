"""What ``pingap cache`` prints, made of the answers of workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

FROM_CACHE: Final = ("hit", "stale", "stale-updating", "revalidated", "revalidated-nocache")
"""How requests are counted that were answered with what was stored."""
_SHARED: Final = ("entries", "bytes", "limit")
"""What all workers see alike of a disk."""
NOTHING: Final = "miss: nothing is stored"
"""The verdict about a URL of which nothing is known."""
_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60))


def summary(name: str, replies: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what one cache holds and how often it answered, over all workers."""
    workers = f"{len(replies)} worker{'s' if len(replies) > 1 else ''}"
    yield f"{name}: {replies[0]['directory']}, {workers}"
    for kind in ("memory", "disk"):
        figures = [reply["stores"][kind] for reply in replies if kind in reply["stores"]]
        if figures:
            yield f"  {kind:<10}{_store(kind, figures)}"
    counts: Counter[str] = Counter()
    for reply in replies:
        counts.update(reply["requests"])
    yield f"  {'requests':<10}{_requests(counts)}"


def _store(kind: str, figures: Sequence[Mapping[str, Any]]) -> str:
    def total(name: str) -> float:
        values: list[float] = [one[name] for one in figures if one[name] is not None]
        if kind == "disk" and name in _SHARED:
            return max(values, default=0)
        return sum(values)

    limit = total("limit")
    parts = [
        _count(total("entries"), "entry", "entries"),
        size(total("bytes")) + (f" of {size(limit)}" if limit else ""),
        f"{total('evictions'):.0f} evicted",
    ]
    for doing in ("read", "write"):
        if seconds := total(f"{doing}_seconds"):  # (in memory, none are counted)
            times = total(f"{doing}s")
            parts.append(f"{_count(times, doing, f'{doing}s')} of {seconds / times * 1000:.1f} ms")
    if damaged := total("corrupt"):
        parts.append(f"{damaged:.0f} found damaged")
    if failed := total("failures"):
        parts.append(_count(failed, "failure", "failures"))
    return ", ".join(parts)


def _requests(counts: Counter[str]) -> str:
    total = counts.total()
    if not total:
        return "none"
    share = sum(counts[status] for status in FROM_CACHE) / total
    each = ", ".join(f"{status} {count}" for status, count in counts.items() if count)
    return f"{total}, {share:.0%} from the cache: {each}"


def _count(number: float, one: str, many: str) -> str:
    return f"{number:.0f} {one if number == 1 else many}"


def table(entries: Sequence[Mapping[str, Any]], now: float) -> Iterator[str]:
    """Yield a line for each entry, below a head.

    :param now: seconds since 1970.
    """
    if entries:
        yield f"{'size':>10}  {'age':>5}  {'kept':>5}  URL"
    for entry in entries:
        age, kept = duration(now - entry["stored"]), duration(entry["keep_until"] - now)
        notes = ["purged softly"] if entry["stale"] else []
        if entry["varies"]:
            notes.append(f"varies by {', '.join(entry['varies'])}")
        noted = f"  ({'; '.join(notes)})" if notes else ""
        yield f"{size(entry['size']):>10}  {age:>5}  {kept:>5}  {entry['url']}{noted}"


def verdicts(replies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what each location would do with a request.

    A URL belongs to one location. So those that have nothing are left out where another one has something.
    """
    places: dict[tuple[str, str], list[str]] = {}  # cache and text -> locations
    for reply in replies:
        for verdict in reply["verdicts"]:
            found = places.setdefault((reply["plugin"], verdict["text"]), [])
            if verdict["location"] not in found:
                found.append(verdict["location"])
    some = [one for one in places if one[1] != NOTHING] or list(places)
    lines = []
    for name, text in some:
        found = places[name, text]
        where = f"location{'s' if len(found) > 1 else ''} {', '.join(found)}"
        lines.append(f"{name}, {where}: {text}")
    return lines


def size(number: float) -> str:
    """Return a number of bytes for people: ``12.3 MiB``."""
    if number < 1024:
        return f"{number:.0f} B"
    units = iter(("KiB", "MiB", "GiB", "TiB"))
    unit, number = next(units), number / 1024
    while number >= 1024 and (larger := next(units, "")):
        unit, number = larger, number / 1024
    return f"{number:.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a time for people, in one unit: ``90s``, ``12m``, ``3h``, ``30d``; ``-`` if it never ends."""
    if seconds == float("inf"):
        return "-"
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
