"""A minute of the fuzzer; ``make fuzz`` runs it for as long as one likes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fuzz.run import fuzz

SECONDS = float(os.environ.get("PINGAP_FUZZ_SECONDS", "60"))


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_nothing_is_wrong_whatever_clients_and_origins_do(tmp_path: Path) -> None:
    run = fuzz(seed=int(os.environ.get("PINGAP_FUZZ_SEED", "1")), seconds=SECONDS, folder=tmp_path)
    assert not run.found, "\n".join(map(str, run.found))
    assert run.book.served > 50
