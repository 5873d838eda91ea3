"""The keys of ``key_auth``, and the parameters of a query that hold one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pingap import Secret, parse_form
from pingap_auth.remembered import Known

MOST_KEYS: Final = 1_000_000
LONGEST_KEY: Final = 4096
_NAME: Final = re.compile(r"[!-9;-~]{1,128}").fullmatch  # visible ASCII without a colon


def read_keys(keys: Iterable[Secret], named: Mapping[str, Secret], path: Path | None) -> Known[str]:
    """Return the accepted keys with their names; the name is empty for one that has none.

    :raises ValueError: an empty key, an invalid name, a key with two names, or no key at all. Keys are not
        shown.
    """
    known: dict[str, str] = {}
    for at, secret in enumerate(keys):
        _add(known, f"keys[{at}]", secret.read_again(), "")
    for name, secret in named.items():
        _add(known, f"named_keys.{name}", secret.read_again(), _checked(name, "named_keys"))
    if path is not None:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if (line := line.strip()) and not line.startswith("#"):
                place = f"keys_file, line {number}"
                name, colon, key = line.partition(":")
                if not colon:
                    raise ValueError(f"{place}: expected name:key")
                _add(known, place, key.strip(), _checked(name.strip(), place))
    if not known:
        raise ValueError("auth keys can't be empty")
    if len(known) > MOST_KEYS:
        raise ValueError(f"more than {MOST_KEYS} keys")
    return Known((key.encode(), name) for key, name in known.items())


def _add(known: dict[str, str], place: str, key: str, name: str) -> None:
    if not key:
        raise ValueError(f"{place}: auth key is not allowed empty")
    if len(key) > LONGEST_KEY:
        raise ValueError(f"{place}: the key is longer than {LONGEST_KEY} characters")
    if known.setdefault(key, name) != name:
        raise ValueError(f"{place}: the same key has another name, too")


def _checked(name: str, place: str) -> str:
    if not _NAME(name):
        raise ValueError(f"{place}: {name!r:.40} is not a name: expected visible ASCII, no colon")
    return name


def without_parameters(query: str, names: Iterable[str]) -> str:
    """Return a query without all parameters of some names, however the names are encoded.

    Everything else stays as it was sent.
    """
    hidden = frozenset(names)
    return "&".join(one for one in query.split("&") if _name(one) not in hidden)


def _name(pair: str) -> str | None:
    # Decoded exactly as in ``Request.query_params``, so that what was found is also what is removed.
    for name, _ in parse_form(pair.encode("latin-1"), "application/x-www-form-urlencoded"):
        return name
    return None
