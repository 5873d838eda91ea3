"""Which requests two configurations handle differently.

Nothing is sent. Of the plugins, only the predictable ones are called; where others are involved, their
settings are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pingap.build.runtime import Runtime
from pingap.config.changes import KINDS
from pingap.inspection.asked import choose_server, read_request
from pingap.inspection.dry_run import dry_run
from pingap.inspection.explanation import Explanation, explain
from pingap.inspection.samples import Sample

_CLIENT: Final = "127.0.0.1"
NOTHING: Final = "-"
"""Stands for what one of the configurations does not have."""


_DETAILS: Final = ("backends", "upstream ", "path for")
"""Aspects that only matter if both configurations have them."""
_SHOWN_OTHERWISE: Final = {
    "servers": ("addr", "locations", "plugins", "access_log", "threads"),
    "locations": (
        *("path", "host", "weight", "upstream", "plugins", "rewrite"),
        *("match_headers", "match_query", "match_cookies", "match_methods", "match_ips"),
    ),
    "plugins": (),
    "upstreams": ("addrs", "algo", "health_check"),
}
"""Section -> keys that decide nothing by themselves, or whose effect is shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One aspect that differs.

    :param what: such as ``location`` or ``upstream``.
    """

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ChangedRequest:
    """A request that is handled differently."""

    sample: Sample
    differences: tuple[Difference, ...]


def compare(old: Runtime, new: Runtime, samples: Iterable[Sample]) -> Iterator[ChangedRequest]:
    """Yield the requests that are handled differently."""
    changed = {section: _changed_items(old, new, section) for section in _SHOWN_OTHERWISE}
    for sample in samples:
        before, after = _behaviour(old, sample), _behaviour(new, sample)
        differences = [
            Difference(what, before.get(what, NOTHING), after.get(what, NOTHING))
            for what in dict.fromkeys([*before, *after])
            if before.get(what) != after.get(what)
            and ((what in before and what in after) or not what.startswith(_DETAILS))
        ]
        differences += _settings(before, after, changed)
        if differences:
            yield ChangedRequest(sample, tuple(differences))


def _settings(
    before: dict[str, str], after: dict[str, str], changed: dict[str, dict[str, str]]
) -> Iterator[Difference]:
    """Yield the items that both use and whose settings differ."""
    for section, items in changed.items():
        what = KINDS[section]
        used = [one.get(what, one.get(section, "")).split(", ") for one in (before, after)]
        for name, keys in items.items():
            if name in used[0] and name in used[1]:
                yield Difference(f"settings of the {what} {name}", keys, keys)


def _changed_items(old: Runtime, new: Runtime, section: str) -> dict[str, str]:
    """Return the items whose settings differ, and the keys that do; values may be secrets."""
    before, after = old.config.tables[section], new.config.tables[section]
    found = {}
    for name in before.keys() & after.keys():
        keys = [
            key
            for key in dict.fromkeys([*before[name], *after[name]])
            if before[name].get(key) != after[name].get(key)
            and key not in (*_SHOWN_OTHERWISE[section], "remark", "includes")
        ]
        if keys:
            found[name] = ", ".join(keys)
    return found


def _behaviour(runtime: Runtime, sample: Sample) -> dict[str, str]:
    """Return what is known about the handling of a request: aspect -> text."""
    asked = read_request(sample.method, sample.url, ())
    try:
        server = choose_server(runtime.config.servers, asked, sample.server or None)
    except ValueError as error:
        return {"server": f"none: {error}".partition("; servers:")[0]}
    request = asked.request
    found = explain(runtime, server, request, _CLIENT, losses=False)
    behaviour = {"server": server, "location": found.location or "none: 404"}
    if found.refusal:
        behaviour["refused"] = found.refusal
    names = [step.plugin for steps in found.chain.values() for step in steps]
    if names:
        behaviour["plugins"] = ", ".join(dict.fromkeys(names))
    if found.headers:
        headers = (f"{one.action} {one.entry.partition(':')[0]}" for one in found.headers)
        behaviour["headers to the upstream"] = ", ".join(headers)
    if (match := runtime.servers[server].router.match(request.host, request.path, request)) is None:
        return behaviour
    outcome = dry_run(runtime, server, *match, request)
    if found.origin:
        behaviour["answered by"] = found.origin
    elif outcome.answer:
        behaviour["answer"] = outcome.answer
    elif not match[0].upstream:
        behaviour["answer"] = "503, unless a plugin answers"
    else:
        behaviour["path for the upstream"] = outcome.target
        behaviour |= _upstream(runtime, outcome.upstream, found)
    return behaviour


def _upstream(runtime: Runtime, name: str, found: Explanation) -> dict[str, str]:
    peers = [
        f"{peer.text}{'' if peer.weight == 1 else f' weight {peer.weight}'}{' backup' if peer.backup else ''}"
        for peer in runtime.upstreams[name].peers
    ]
    behaviour = {"upstream": name, "backends": ", ".join(peers)}
    if found.upstream is not None:
        behaviour |= {f"upstream {key}": value for key, value in found.upstream.settings}
    return behaviour
