"""Makes ``side_by_side`` importable, which these tests share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it
