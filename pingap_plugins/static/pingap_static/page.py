"""A directory as a page or as JSON. Nothing here does IO."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import islice
from typing import Final

from pingap_static.listing import PAGE, Entry, Order, Wish, resting
from pingap_static.paths import as_link, as_text

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""``Content-Security-Policy`` of the page: should a name ever be taken for HTML, it could do nothing."""
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")
_AT_ONCE: Final = 200  # entries that are encoded in one call
_MOST_ACCEPTED: Final = 50

_STYLE: Final = """
:root { color-scheme: light dark; --line: #d8dee4; --dim: #59636e; --link: #0969da; --over: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3d444d; --dim: #9198a1; --link: #6cb6ff; --over: #1b2129; }
  body { background: #0d1117; color: #e6edf3; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.25rem; font-weight: 600; margin: 0 0 1rem; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
th a { color: inherit; }
td a { display: block; }
tbody tr:hover { background: var(--over); }
a { color: var(--link); text-decoration: none; overflow-wrap: anywhere; }
a:hover, a:focus-visible { text-decoration: underline; }
.size { width: 7rem; text-align: right; white-space: nowrap; }
.time { width: 11rem; white-space: nowrap; }
td.size, td.time, footer { color: var(--dim); font-variant-numeric: tabular-nums; }
footer { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; margin-top: 1rem; }
@media (max-width: 40rem) {
  th, td { padding: .4rem .25rem; }
  .size { width: 5.5rem; }
  .time { width: 6.5rem; }
  .clock { display: none; }
}
"""


def prefers_json(accept: str) -> bool:
    """Return whether ``Accept`` names JSON with a higher weight than HTML (RFC 9110, 12.5.1)."""
    weights = {"json": 0.0, "html": 0.0}
    for part in accept.lower().split(",", _MOST_ACCEPTED)[:_MOST_ACCEPTED]:
        media, *parameters = (piece.strip() for piece in part.split(";"))
        kind = {"application/json": "json", "text/html": "html", "text/*": "html"}.get(media)
        if kind is not None:
            weights[kind] = max(weights[kind], _weight(parameters))
    return weights["json"] > weights["html"]


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def as_json(entries: Iterable[Entry]) -> bytes:
    """Return all entries as an array."""
    entries = iter(resting(entries))
    body = bytearray(b"[")
    while chunk := list(islice(entries, _AT_ONCE)):
        if len(body) > 1:
            body += b", "
        body += json.dumps([_as_dict(one) for one in chunk])[1:-1].encode()
    return bytes(body + b"]\n")


def _as_dict(entry: Entry) -> dict[str, object]:
    found: dict[str, object] = {
        "name": as_text(entry.name),
        "type": "directory" if entry.is_folder else "file",
        "href": _link(entry),
        "mtime": _moment(entry.modified).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    if not entry.is_folder:
        found["size"] = entry.size
    return found


def as_html(path: str, entries: Sequence[Entry], total: int, wish: Wish, *, is_root: bool) -> bytes:
    """Return the page.

    :param path: the path of the directory, for people to read.
    :param entries: those on this page.
    :param total: entries of the directory.
    :param is_root: whether there is nothing above it.
    """
    title = escape(f"Index of {path}")
    rows = [] if is_root or wish.page > 1 else [_row("../", "..", "", "")]
    rows += [_entry_row(entry) for entry in entries]
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
            "<table>\n<thead><tr>",
            *_heads(wish),
            "</tr></thead>\n<tbody>\n",
            *rows,
            "</tbody>\n</table>\n",
            *_footer(total, wish),
            "</body>\n</html>\n",
        ]
    ).encode()


def _heads(wish: Wish) -> Iterator[str]:
    titles: tuple[tuple[Order, str, str], ...] = (
        ("name", "Name", "name"),
        ("size", "Size", "size"),
        ("modified", "Modified", "time"),
    )
    for order, title, style in titles:
        here = order == wish.order
        state = ("descending" if wish.descending else "ascending") if here else "none"
        arrow = ("", " ↓" if wish.descending else " ↑")[here]
        link = _query(Wish(order, here and not wish.descending))
        yield (
            f'<th class="{style}" scope="col" aria-sort="{state}"><a href="{link}">{title}{arrow}</a></th>'
        )


def _footer(total: int, wish: Wish) -> Iterator[str]:
    pages = max(1, -(-total // PAGE))
    what = "entry" if total == 1 else "entries"
    yield f"<footer><span>{total} {what}</span>"
    if pages > 1:
        yield f"<span>Page {wish.page} of {pages}</span>"
    if 1 < wish.page <= pages:
        link = _query(Wish(wish.order, wish.descending, wish.page - 1))
        yield f'<a href="{link}" rel="prev">Previous</a>'
    if wish.page < pages:
        link = _query(Wish(wish.order, wish.descending, wish.page + 1))
        yield f'<a href="{link}" rel="next">Next</a>'
    yield "</footer>\n"


def _query(wish: Wish) -> str:
    order = "desc" if wish.descending else "asc"
    page = f"&amp;page={wish.page}" if wish.page > 1 else ""
    return f"?sort={wish.order}&amp;order={order}{page}"


def _entry_row(entry: Entry) -> str:
    slash = "/" if entry.is_folder else ""
    moment = _moment(entry.modified)
    time = (
        f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d}'
        f'<span class="clock"> {moment:%H:%M}</span></time>'
    )
    size = "" if entry.is_folder else human_size(entry.size)
    return _row(_link(entry), escape(as_text(entry.name)) + slash, size, time)


def _row(link: str, name: str, size: str, time: str) -> str:
    return (
        f'<tr><td class="name"><a href="{link}">{name}</a></td>'
        f'<td class="size">{size}</td><td class="time">{time}</td></tr>\n'
    )


def _link(entry: Entry) -> str:
    return as_link(entry.name) + ("/" if entry.is_folder else "")


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # years beyond 9999
        return datetime.fromtimestamp(0, UTC)


def human_size(size: int) -> str:
    """Return a number of bytes with a unit."""
    if size < 1024:
        return f"{size} B"
    value, unit = float(size), ""
    for unit in _UNITS:  # noqa: B007
        value /= 1024
        if value < 1023.95:
            break
    return f"{value:.1f} {unit}"
