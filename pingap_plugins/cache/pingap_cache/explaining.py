"""What ``pingap cache`` asks a worker: figures, entries, purges, and why."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from anyio.lowlevel import checkpoint

from pingap import Headers, field
from pingap_cache.asking import hashed, variant_key
from pingap_cache.control import ENTRIES, CommandError
from pingap_cache.http.lookup import look_at
from pingap_cache.http.serving import Verdict, decide, explain
from pingap_cache.opened import Opened
from pingap_cache.parts import Parts
from pingap_cache.purging import END, Purge, Purging, keys_of
from pingap_cache.stores.interface import Entry
from pingap_cache.views import View, view_of

MOST_LISTED = 10_000


class Explaining:
    """Answers the commands for one cache.

    :param name: of the cache.
    """

    def __init__(self, parts: Parts, opened: Opened, purging: Purging, name: str) -> None:
        self._parts = parts
        self._opened = opened
        self._purging = purging
        self._name = name

    async def answer(self, given: dict[str, Any], locations: Sequence[str]) -> dict[str, Any]:
        """Carry a command out.

        :param locations: those in which the cache works.
        :raises CommandError: it cannot be.
        """
        if given.get("plugin") not in ("", None, self._name):
            return {"other": self._name}
        answer = {"plugin": self._name, "worker": os.getpid()}
        match given.get("command"):
            case "stats":
                return answer | self._stats()
            case "list":
                return answer | {"entries": await self._list(given)}
            case "purge":
                return answer | {"purged": await self._purge(given, locations)}
            case "why":
                return answer | {"verdicts": await self._why(given, locations)}
        raise CommandError(f"the running pingap knows no command {given.get('command')!r:.40}")

    def _stats(self) -> dict[str, Any]:
        figures = {kind: asdict(found) for kind, found in self._opened.figures().items()}
        return {
            "directory": self._opened.text or "memory",
            "stores": figures,
            "requests": self._parts.numbers.counts(),
        }

    async def _list(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        entries = await self._parts.store.entries(
            prefix=given["prefix"],
            namespace=given["namespace"],
            limit=min(given["limit"], MOST_LISTED),
        )
        listed = []
        for number, entry in enumerate(entries, 1):
            url = entry.url.removesuffix(END)
            # (A marker says by what a URL varies, and has no body.)
            _, view = (None, None) if entry.size else await self._get(entry.key)
            marker = None if view is None else view.marker
            names = [] if marker is None else [name.decode("latin-1") for name in marker.names]
            listed.append(asdict(entry) | {"key": entry.key.hex(), "url": url, "varies": names})
            if not number % ENTRIES:
                await checkpoint()
        return listed

    async def _purge(self, given: dict[str, Any], locations: Sequence[str]) -> int:
        # (All workers are asked, so they need not tell each other.)
        purge = self._purging.purge_here
        url, soft = given["url"], given["soft"]
        if not url:
            given = {name: given[name] for name in ("prefix", "namespace", "tag")}
            return await purge(Purge(**given, soft=soft))
        if "://" not in url:
            raise CommandError(f"{url!r:.200} is no URL: it begins with http:// or https://")
        if soft:
            return await purge(Purge(prefix=url + END, soft=True))
        return await purge(Purge(keys=keys_of(self._parts.rules, url, locations)))

    async def _why(self, given: dict[str, Any], locations: Sequence[str]) -> list[dict[str, str]]:
        try:
            headers = Headers([field(name, value) for name, value in given["headers"]])
        except ValueError as error:
            raise CommandError(str(error)) from None
        if "://" not in given["url"]:
            raise CommandError(
                f"{given['url']!r:.200} is no URL: it begins with http:// or https://"
            )
        verdicts = []
        for location in locations:
            (key,) = keys_of(self._parts.rules, given["url"], (location,))
            text = await self._why_at(bytes.fromhex(key), given["method"], headers)
            verdicts.append({"location": location, "text": text})
        return verdicts

    async def _why_at(self, primary: bytes, method: str, headers: Headers) -> str:
        """Say what would be done with a request at one location."""
        wish = look_at(method, headers)
        if wish.bypass:
            return f"bypass: {wish.bypass}"
        extras = hashed(self._parts.rules.extras_of(headers, {}, ""))
        key, said = primary + extras, ""
        entry, view = await self._get(primary)
        if view is not None and view.marker is not None:
            names = ", ".join(name.decode("latin-1") for name in view.marker.names)
            said = f"varies by {names}; "
            key = variant_key(view.marker, primary, extras, headers)
            entry, view = await self._get(key)
        elif extras:
            entry = view = None
        stored = None if view is None else view.stored
        now = time.time()
        decision = decide(stored, wish.directives, now, purged=entry is not None and entry.stale)
        if stored is None:
            reason = self._parts.predictions.reason(key)
            last = f"; the last response was not stored: {reason}" if reason else ""
            if decision.verdict is Verdict.FETCH:
                return f"miss: {said}nothing is stored{last}"
            return f"{decision.verdict.value}: {decision.reason}{last}"
        verdict = decision.verdict.value
        reason = "" if decision.reason == verdict else f"{decision.reason}; "
        return f"{verdict}: {said}{reason}{explain(stored, now)}"

    async def _get(self, key: bytes) -> tuple[Entry | None, View | None]:
        entry = await self._parts.store.get(key)
        return entry, None if entry is None else view_of(entry)
