"""Makes the modules of the bench importable, which are run as scripts."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # at the end: no module of other tests is hidden
