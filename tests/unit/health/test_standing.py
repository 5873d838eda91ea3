"""How many results in a row change what is thought of a backend."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pingap.upstream.health.standing import Standing


def test_it_takes_results_in_a_row() -> None:
    standing = Standing(success=2, failure=3)
    flips = [standing.note(good) for good in (False, False, True, False, False, False)]
    assert flips == [False] * 5 + [True]
    assert not standing.healthy
    assert [standing.note(good) for good in (True, False, True, True)] == [False] * 3 + [True]
    assert standing.healthy


def test_what_is_known_at_first_may_be_bad() -> None:
    standing = Standing(success=1, failure=2, healthy=False)
    assert standing.note(True)
    assert standing.healthy


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.booleans()))
def test_it_is_what_the_last_run_of_results_says(
    success: int, failure: int, results: list[bool]
) -> None:
    standing, healthy = Standing(success, failure), True
    for end, good in enumerate(results, 1):
        limit = success if good else failure
        enough = end >= limit and all(one is good for one in results[end - limit : end])
        flipped = standing.note(good)
        assert flipped is (enough and healthy is not good)
        healthy = good if enough else healthy
        assert standing.healthy is healthy
