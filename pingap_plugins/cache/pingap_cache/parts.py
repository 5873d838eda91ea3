"""What the phases of a cache share: made when its worker starts."""

from __future__ import annotations

from dataclasses import dataclass, field

from pingap import BackgroundTasks
from pingap_cache.answers import Answers
from pingap_cache.http.storing import Policy
from pingap_cache.http.vary import Variants
from pingap_cache.keys import KeyRules
from pingap_cache.numbers import Numbers
from pingap_cache.offers import Offers
from pingap_cache.predictions import Predictions
from pingap_cache.stores.interface import Store
from pingap_cache.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one cache.

    :param deep: the store has more than memory, so that not finding an entry at once says little.
    :param largest: bytes of the largest body that is stored; 0 for no limit.
    :param markers: markers of variants that are being stored, by primary key.
    """

    store: Store
    deep: bool
    rules: KeyRules
    policy: Policy
    answers: Answers
    turns: Turns
    predictions: Predictions
    numbers: Numbers
    tasks: BackgroundTasks
    largest: int
    offers: Offers = field(default_factory=Offers)
    markers: dict[bytes, Variants] = field(default_factory=dict)
