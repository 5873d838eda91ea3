"""What holds for the tests of every distribution."""

from __future__ import annotations

from hypothesis import settings

# How long one example takes depends on what else the machine does; pytest's own limit is for what hangs.
settings.register_profile("without_deadline", settings(deadline=None))
settings.load_profile("without_deadline")
