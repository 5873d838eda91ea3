"""The balancers that come with pingap."""

from __future__ import annotations

from collections.abc import Mapping

from pingap.hookspecs import hookimpl
from pingap.plugins.balancer import BalancerFactory, without_argument
from pingap.upstream.balancing.hashing import make_hash
from pingap.upstream.balancing.least_conn import LeastConnections
from pingap.upstream.balancing.p2c import PowerOfTwoChoices
from pingap.upstream.balancing.random_choice import RandomChoice
from pingap.upstream.balancing.round_robin import RoundRobin
from pingap.upstream.balancing.sticky import make_sticky


@hookimpl
def pingap_balancers() -> Mapping[str, BalancerFactory]:
    """Return the balancers of the core."""
    return {
        "round_robin": without_argument(RoundRobin),
        "least_conn": without_argument(LeastConnections),
        "p2c": without_argument(PowerOfTwoChoices),
        "random": without_argument(RandomChoice),
        "hash": make_hash,
        "sticky": make_sticky,
    }
