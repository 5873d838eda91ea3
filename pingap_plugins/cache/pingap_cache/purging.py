"""Removing what is stored: by PURGE, by ``pingap cache purge``, and by unsafe requests (RFC 9111, 4.4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Final

from pingap import MessageBus, Request, RequestContext, Response
from pingap_cache.fills import Fill
from pingap_cache.keys import KeyRules
from pingap_cache.stores.interface import Store
from pingap_cache.turns import Turns

SOFT: Final = "x-purge"
"""The header of PURGE that may say ``soft``."""
_TAG_FIELDS: Final = ("cache-tag", "surrogate-key")


@dataclass(frozen=True, slots=True)
class Purge:
    """What is to be removed: entries by key, or all that match the conditions.

    :param keys: in hexadecimal.
    :param soft: mark entries as stale instead of removing them.
    """

    keys: tuple[str, ...] = ()
    prefix: str = ""
    namespace: str | None = None
    tag: str | None = None
    soft: bool = False

    def means(self, fill: Fill) -> bool:
        """Return whether a fill may bring what is purged."""
        if self.keys:
            return fill.primary.hex() in self.keys
        tagged = self.tag is None or fill.head is None or self.tag in fill.head.tags
        return tagged and (fill.url + END).startswith(self.prefix)


class Purging:
    """Removes entries, here and in all other workers.

    :param store: the store.
    :param turns: knows what is being fetched.
    :param bus: carries purges to the other workers.
    :param topic: that of this cache.
    :param origin: tells this worker from the others.
    """

    def __init__(
        self, store: Store, turns: Turns, bus: MessageBus, topic: str, origin: str
    ) -> None:
        self._store = store
        self._turns = turns
        self._bus = bus
        self._topic = topic
        self._origin = origin

    async def purge(self, purge: Purge) -> int:
        """Remove entries in all workers; return how many there were, as far as this worker knows."""
        message = {"from": self._origin, **asdict(purge)}
        self._bus.publish(self._topic, json.dumps(message).encode())
        return await self.purge_here(purge)

    async def purge_here(self, purge: Purge) -> int:
        """Remove entries in this worker, and on the disk."""
        self._turns.forget(purge.means)
        if purge.keys:
            found = [await self._store.remove(bytes.fromhex(key)) for key in purge.keys]
            return sum(found)
        return await self._store.purge(
            prefix=purge.prefix, namespace=purge.namespace, tag=purge.tag, soft=purge.soft
        )

    async def follow(self) -> None:
        """Remove what other workers purge."""
        with self._bus.subscribe(self._topic) as messages:
            async for message in messages:
                fields = json.loads(message.value)
                if fields.pop("from") != self._origin:
                    fields["keys"] = tuple(fields["keys"])
                    await self.purge_here(Purge(**fields))


def keys_of(rules: KeyRules, url: str, locations: Sequence[str]) -> tuple[str, ...]:
    """Return the primary keys of a URL, in hexadecimal."""
    counted = whole(rules, url)
    return tuple(rules.primary(location, counted).hex() for location in locations)


def whole(rules: KeyRules, url: str) -> str:
    """Return a URL as it is in keys, with the query as it counts."""
    scheme, separator, rest = url.partition("://")
    authority, slash, target = rest.partition("/")
    return f"{scheme}{separator}{authority}{rules.target(slash + target)}"


def of_urls(rules: KeyRules, urls: Sequence[str], locations: Sequence[str]) -> list[Purge]:
    """Return what removes everything that is stored for some URLs.

    That is found by key; with many locations, for each of which a URL has a key of its own, by URL.
    """
    if len(locations) > MOST_LOCATIONS:
        return [Purge(prefix=whole(rules, url) + END, namespace=rules.namespace) for url in urls]
    keys = [key for url in urls for key in keys_of(rules, url, locations)]
    return [Purge(keys=tuple(keys))] if keys else []


def refusal(request: Request, ctx: RequestContext, networks: Sequence[object]) -> Response | None:
    """Return the answer to a PURGE of a client that may not purge; None if it may."""
    try:
        address = ip_address(ctx.client_ip(request))
    except ValueError:
        return Response.text(400, "The address of the client is not known")
    if any(address in network for network in networks):  # type: ignore[operator]
        return None
    return Response.text(403, "Forbidden, ip is not allowed")


def requested(request: Request, url: str, rules: KeyRules, locations: Sequence[str]) -> list[Purge]:
    """Return what a PURGE asks for.

    Tags, if it names some; else the URL, or all URLs that begin with it if it ends with ``*``. For
    ``/*``, that is everything in the namespace of the cache.

    :param url: that it is for.
    """
    soft = (request.header(SOFT) or "").strip().lower() == "soft"
    namespace = rules.namespace
    tags = [tag.strip() for tag in (request.header(_TAG_FIELDS[0]) or "").split(",") if tag.strip()]
    tags += (request.header(_TAG_FIELDS[1]) or "").split()
    if tags:
        return [Purge(namespace=namespace, tag=tag, soft=soft) for tag in tags]
    if request.target == "/*":
        return [Purge(namespace=namespace, soft=soft)]
    if request.target.endswith("*"):
        return [Purge(prefix=url.removesuffix("*"), namespace=namespace, soft=soft)]
    if soft:  # the end of the URL makes it the prefix of itself alone
        return [Purge(prefix=url + END, namespace=namespace, soft=True)]
    return of_urls(rules, [url], locations)


MOST_LOCATIONS: Final = 8
"""With more locations, what is stored for a URL is found by URL instead of by key."""
END: Final = " "
"""Stands behind each URL in the store, so that a prefix may mean exactly one."""
