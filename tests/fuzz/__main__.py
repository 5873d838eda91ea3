# ruff: noqa: T201
"""``make fuzz ARGS="--seconds 3600 --seed 1"``; a failure tells how to run its case alone."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from fuzz.run import fuzz


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="random by default")
    parser.add_argument("--only", type=int, default=None, help="run this case alone")
    parser.add_argument(
        "--keep", type=Path, default=None, help="a folder for configuration and logs"
    )
    asked = parser.parse_args()
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        run = fuzz(seed, asked.seconds, asked.keep or Path(folder), asked.only)
    print(f"{run.cases} cases, {run.book.served} exact answers, {len(run.found)} findings")
    for found in run.found:
        print(found)
    return 1 if run.found else 0


sys.exit(main())
