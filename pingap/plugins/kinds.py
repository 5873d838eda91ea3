"""The kinds of things that distributions provide by name, and where each name is declared.

A distribution declares each name as an entry point in the group ``pingap``. So pingap knows which
distribution provides a name before it imports anything; a hook returns the things themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pingap.config import distributions
from pingap.config.formats.interface import ConfigFormat
from pingap.config.problem import did_you_mean
from pingap.config.storage.interface import StorageFactory
from pingap.config.variables import CONTEXT_KEYS, FROM_DISTRIBUTIONS, VARIABLES
from pingap.http.context_keys import ContextKey
from pingap.observability.log_outputs import LogTargetFactory
from pingap.plugins.balancer import WORDS, BalancerFactory
from pingap.plugins.base import Plugin
from pingap.plugins.certificate_source import CertificateSource
from pingap.plugins.chains import ContractError, check_class
from pingap.plugins.discovery import Discovery

T = TypeVar("T")

_KEY_NAME: Final = re.compile("[a-z][a-z0-9_]*")


@dataclass(frozen=True, eq=False)
class Kind(Generic[T]):
    """One kind of things.

    :param label: for messages and listings: ``location key``.
    :param prefix: the prefix of its entry point names.
    :param hook: the hook that returns the things of this kind of a distribution.
    :param items: makes name -> thing from the result of the hook; raises ``ContractError``.
    :param wanted: what an entry point must refer to, for the message if it does not; contains ``{name}``.
    :param ours: names that distributions of this project provide -> the distribution.
    :param forms: how names of the core are written, if a message lists all names.
    :param replaceable: whether a distribution may provide a name that the core also has.
    :param lazy: whether the hook is only called when something of this kind is used.
    """

    label: str
    prefix: str
    hook: str
    items: Callable[[Any], Mapping[str, T]] = dict
    wanted: str = ""
    ours: Mapping[str, str] = field(default_factory=dict)
    forms: tuple[str, ...] = ()
    replaceable: bool = False
    lazy: bool = False

    def how_to_get(self, name: str, known: Iterable[str]) -> str:
        """Return the hint for a name that no installed distribution provides.

        :param known: the names that something provides.
        """
        if distribution := self.ours.get(name):
            return distributions.needs(distribution)
        if not self.forms:
            hint = did_you_mean(name, {*known, *self.ours})
            return f"no installed distribution provides this {self.label}{hint}"
        own = {form.partition(":")[0] for form in self.forms}
        words = [*self.forms, *sorted({*known, *self.ours} - own)]
        return f"expected one of {', '.join(words)}{did_you_mean(name, words)}"


def _by_category(classes: Iterable[type[Plugin]]) -> Mapping[str, type[Plugin]]:
    for cls in classes:
        check_class(cls)
        if not hasattr(cls, "category"):
            raise ContractError(f'{_qualified(cls)}: set category = "..." on the class')
    return {cls.category: cls for cls in classes}


def _by_key(claims: Mapping[str, type[Plugin]]) -> Mapping[str, type[Plugin]]:
    for cls in claims.values():
        check_class(cls)
    return claims


def _sources_by_key(
    claims: Mapping[str, type[CertificateSource]],
) -> Mapping[str, type[CertificateSource]]:
    _by_key(claims)
    for cls in claims.values():
        if not issubclass(cls, CertificateSource):
            raise ContractError(f"{_qualified(cls)}: base it on pingap.CertificateSource")
    return claims


def _by_instance(
    tables: Mapping[str, Mapping[str, object]],
) -> Mapping[str, Mapping[str, object]]:
    for name, table in tables.items():
        if ":" not in name:
            raise ContractError(f'the instance "{name}": its name must have a colon in it')
        if not isinstance(table.get("category"), str):
            raise ContractError(f'the instance "{name}": its table needs a category')
    return tables


def _by_command(commands: Iterable[Any]) -> Mapping[str, Any]:
    for one in commands:
        if not getattr(one, "name", None):
            raise ContractError(f"{one!r} is not a click command with a name")
    return {one.name: one for one in commands}


def _by_word(kinds: Iterable[type[Discovery]]) -> Mapping[str, type[Discovery]]:
    for kind in kinds:
        if not hasattr(kind, "word"):
            raise ContractError(f'{_qualified(kind)}: set word = "..." on the class')
    return {kind.word: kind for kind in kinds}


def _formats(formats: Mapping[str, ConfigFormat]) -> Mapping[str, ConfigFormat]:
    for suffix, one in formats.items():
        if not isinstance(one, ConfigFormat):
            raise ContractError(f'pingap_formats: "{suffix}": expected an object of ConfigFormat')
    return formats


def _by_name(keys: Iterable[ContextKey[Any]]) -> Mapping[str, ContextKey[Any]]:
    found: dict[str, ContextKey[Any]] = {}
    for key in keys:
        if not _KEY_NAME.fullmatch(key.name):
            raise ContractError(f"{key!r}: its name must consist of a-z, 0-9 and _")
        known = key.name in CONTEXT_KEYS and key.name not in FROM_DISTRIBUTIONS
        if known or key.name in VARIABLES or key.name == "hostname":
            raise ContractError(f"{key!r}: pingap itself has a variable of this name")
        if found.setdefault(key.name, key) is not key:
            raise ContractError(f"{key!r}: there are two keys of this name")
    return found


def _qualified(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


CATEGORY: Final = Kind[type[Plugin]](
    "category",
    "",
    "pingap_plugin_categories",
    _by_category,
    'MODULE:CLASS, of a plugin class with category = "{name}"',
    distributions.CATEGORIES,
)


def _key_kind(label: str, word: str, ours: Mapping[str, str] | None = None) -> Kind[type[Plugin]]:
    hook = f"pingap_{word}_keys"
    wanted = f'a module or class whose {hook} returns "{{name}}"'
    return Kind(label, f"{word}:", hook, _by_key, wanted, ours or {})


LOCATION_KEY: Final = _key_kind("location key", "location", distributions.LOCATION_KEYS)
SERVER_KEY: Final = _key_kind("server key", "server")
BASIC_KEY: Final = _key_kind("key of [basic]", "basic")
UPSTREAM_KEY: Final = _key_kind("upstream key", "upstream")
CERTIFICATE_KEY: Final = _key_kind("certificate key", "certificate")
INSTANCE: Final = Kind[Mapping[str, object]](
    "instance",
    "instance:",
    "pingap_instances",
    _by_instance,
    'a module or class whose pingap_instances returns "{name}"',
    distributions.INSTANCES,
    replaceable=True,
)
COMMAND: Final = Kind[Any](
    "command",
    "command:",
    "pingap_commands",
    _by_command,
    'a module or class whose pingap_commands returns a command called "{name}"',
    lazy=True,
)
BALANCER: Final = Kind[BalancerFactory](
    "balancer",
    "balancer:",
    "pingap_balancers",
    wanted='a module or class whose pingap_balancers returns "{name}"',
    forms=WORDS,
)
DISCOVERY: Final = Kind[type[Discovery]](
    "discovery",
    "discovery:",
    "pingap_discoveries",
    _by_word,
    'MODULE:CLASS, of a subclass of pingap.Discovery with word = "{name}"',
    distributions.DISCOVERIES,
    ("static", "transparent"),
)
CERTIFICATE_SOURCE: Final = Kind[type[CertificateSource]](
    "certificate key",
    "certificates:",
    "pingap_certificate_sources",
    _sources_by_key,
    'a module or class whose pingap_certificate_sources returns "{name}"',
    distributions.CERTIFICATE_KEYS,
    replaceable=True,
)

STORAGE: Final = Kind[StorageFactory](
    "storage",
    "storage:",
    "pingap_storages",
    wanted='a module or class whose pingap_storages returns "{name}"',
    ours=distributions.STORAGES,
)
FORMAT: Final = Kind[ConfigFormat](
    "format",
    "format:",
    "pingap_formats",
    _formats,
    'a module or class whose pingap_formats returns "{name}"',
    distributions.FORMATS,
)
CONTEXT_KEY: Final = Kind[ContextKey[Any]](
    "context key",
    "context_key:",
    "pingap_context_keys",
    _by_name,
    'a module whose pingap_context_keys returns a ContextKey called "{name}"',
)
LOG_TARGET: Final = Kind[LogTargetFactory](
    "log target",
    "log:",
    "pingap_log_targets",
    wanted='a module whose pingap_log_targets returns "{name}"',
)

CLAIMS: Final[Mapping[str, Kind[type[Plugin]]]] = {
    "basic": BASIC_KEY,
    "servers": SERVER_KEY,
    "locations": LOCATION_KEY,
    "upstreams": UPSTREAM_KEY,
    "certificates": CERTIFICATE_KEY,
}
"""Section, or ``basic`` -> the kind of the keys that distributions may claim there."""

KINDS: Final[tuple[Kind[Any], ...]] = (
    CATEGORY,
    *CLAIMS.values(),
    INSTANCE,
    COMMAND,
    BALANCER,
    DISCOVERY,
    CERTIFICATE_SOURCE,
    STORAGE,
    FORMAT,
    CONTEXT_KEY,
    LOG_TARGET,
)

HOOKS: Final = Kind[object]("hooks of", "hooks:", "")
"""Entry points that stand for implementations of another distribution's hooks.

They are named after that distribution, so several may have the same name.
"""


def kind_of(point: str) -> Kind[Any]:
    """Return the kind that the name of an entry point declares."""
    return next(
        (kind for kind in (*KINDS, HOOKS) if kind.prefix and point.startswith(kind.prefix)),
        CATEGORY,
    )
