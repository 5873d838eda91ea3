"""Show where the CPU time of a request goes: user and kernel, parts of the program, modules.

    .venv/bin/python contrib/bench/cpu_profile.py [--python LABEL=COMMAND ...] [--markdown [FILE]]

Three measurements of each interpreter: a worker under load, as in ``compare.py``, for user and kernel
time; the same under ``perf``, if it is installed, for the parts of the program; and the data path in
memory (``data_path.py --modules``), for the modules. Linux; loopback only.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compare import Bench, Running, interpreters, versions
from load import LoadError, run
from processes import Processes, family
from proxies import pingap_kind
from report import Sample, machine, publish, rounds, table
from scenarios import SCENARIOS, Scenario

KINDS_OF_REQUEST: Final = ("mixed-1k", "proxy-1k", "ping")
"""Scenarios that ``data_path.py`` supports, too."""

LEAST_SHARE: Final = 0.02
"""Modules with less in every column are summed up."""

PARTS: Final = {
    "kernel": r"\[kernel|\[vdso\]|\[guest",
    "interpreter": r"^(lib)?python3",
    "C library": r"^libc[.-]|^ld-",
    "uvloop": r"^loop\.cpython",
    "compiled readers": r"^_readers\.",
    "TLS": r"^lib(ssl|crypto)|^_ssl\.",
}
"""Parts of a process by the names of its shared objects."""

_REST: Final = "other"
_DATA_PATH_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Profile:
    """The results of one interpreter.

    :param load: the worker under load.
    :param modules: microseconds of a request in Python code, by module.
    :param parts: shares of the CPU time by part of the program; empty without perf.
    """

    load: Sample
    modules: dict[str, float]
    parts: dict[str, float]


def parts_of(report: str) -> dict[str, float]:
    """Read ``perf report --sort dso``: shares, from 0 to 1, by part of the program."""
    shares: Counter[str] = Counter()
    for percent, name in re.findall(r"^\s*([\d.]+)%\s+(\S+)", report, re.MULTILINE):
        part = next((part for part, like in PARTS.items() if re.search(like, name)), _REST)
        shares[part] += float(percent) / 100  # type: ignore[assignment]
    return dict(shares)


def shares_of_parts(
    proxy: Running, scenario: Scenario, seconds: int, folder: Path
) -> dict[str, float]:
    """Return the shares of the parts under load; nothing, with a message, if perf is no help."""
    if not shutil.which("perf"):
        print("perf is not installed: no shares of the parts of the program", file=sys.stderr)
        return {}
    data = str(folder / "perf.data")
    pids = ",".join(str(one) for one in family(proxy.pid))
    # There are no hardware counters on most virtual machines; the clock is enough.
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-p", pids, "-o", data]
    with subprocess.Popen(
        [*record, "--", "sleep", str(seconds)], stderr=subprocess.PIPE
    ) as recorder:
        run(scenario, proxy.ports, seconds, folder)
        _, errors = recorder.communicate()
    if recorder.returncode:
        print(f"perf: {errors.decode().strip()[-200:]}", file=sys.stderr)
        return {}
    report = ["perf", "report", "-q", "--stdio", "--sort", "dso", "-i", data]
    return parts_of(subprocess.run(report, capture_output=True, text=True, check=True).stdout)


def modules_of(python: list[str], scenario: str) -> dict[str, float]:
    """Return the microseconds of a request by module, from the data path in memory."""
    script = str(Path(__file__).with_name("data_path.py"))
    command = [*python, script, "--modules", "--json", "--only", scenario]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=_DATA_PATH_SECONDS
    )
    modules: dict[str, float] = json.loads(done.stdout)
    return modules


def package_of(module: str) -> str:
    """Return the group of a module: a package of pingap, the plugins, or everything else.

    >>> package_of("pingap.wire.write_batch")
    'pingap.wire'
    """
    if module.startswith("pingap."):
        return ".".join(module.split(".")[:2])
    return "plugins" if module.startswith("pingap_") else "standard library and dependencies"


def by_package(modules: dict[str, float]) -> dict[str, float]:
    """Sum up the modules by package, the largest first."""
    summed: Counter[str] = Counter()
    for module, cost in modules.items():
        summed[package_of(module)] += cost  # type: ignore[assignment]
    return dict(summed.most_common())


def tables(profiles: dict[str, Profile], scenario: str, about: str) -> str:
    """Return the tables of the manual."""
    columns = list(profiles.values())
    head = [f"{scenario}, µs", *profiles]
    parts = [about, table(head, _rows_of_packages(columns))]
    if any(one.parts for one in columns):
        rows = [
            [part, *(f"{one.parts.get(part, 0):.0%}" if one.parts else "-" for one in columns)]
            for part in [*PARTS, _REST]
            if any(one.parts.get(part, 0) >= 0.001 for one in columns)
        ]
        parts.append(table(["part of the process, by perf", *profiles], rows))
    parts.append(table(["module, µs", *profiles], _rows_of_modules(columns)))
    return "\n\n".join(parts) + "\n"


def _rows_of_packages(columns: list[Profile]) -> list[list[str]]:
    def row(name: str, values: list[float]) -> list[str]:
        return [name, *(f"{one:.1f}" for one in values)]

    packages = [by_package(one.modules) for one in columns]
    in_python = [sum(one.modules.values()) for one in columns]
    rest = [one.load.user - spent for one, spent in zip(columns, in_python, strict=True)]
    return [
        row("all", [one.load.cost for one in columns]),
        row("kernel", [one.load.kernel for one in columns]),
        row("event loop, supervisor, cache misses", rest),
        row("Python", in_python),
        *(row(f"- {name}", [one.get(name, 0) for one in packages]) for name in packages[0]),
    ]


def _rows_of_modules(columns: list[Profile]) -> list[list[str]]:
    totals = [sum(one.modules.values()) for one in columns]
    shown = [
        name
        for name in columns[0].modules
        if any(
            one.modules.get(name, 0) >= LEAST_SHARE * total
            for one, total in zip(columns, totals, strict=True)
        )
    ]
    rows = [[name, *(f"{one.modules.get(name, 0):.1f}" for one in columns)] for name in shown]
    rest = [
        total - sum(one.modules.get(name, 0) for name in shown)
        for one, total in zip(columns, totals, strict=True)
    ]
    return [*rows, ["others", *(f"{one:.1f}" for one in rest)]]


def parse_arguments() -> argparse.Namespace:
    """Read the command line; ``pythons`` are commands by label."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--python", action="append", metavar="LABEL=COMMAND",
        help="run pingap with this interpreter; may be repeated, for a column each")  # fmt: skip
    add("--scenario", choices=KINDS_OF_REQUEST, default=KINDS_OF_REQUEST[0])
    add("--rounds", type=int, default=3)
    add("--seconds", type=int, default=3, help="length of a round")
    add("--markdown", nargs="?", const="-", default="-", metavar="FILE",
        help="put the tables between the marks in FILE instead of printing them")  # fmt: skip
    arguments = parser.parse_args()
    try:
        given = interpreters(arguments.python or [])
    except ValueError as error:
        parser.error(str(error))
    arguments.pythons = given or {"pingap": [sys.executable]}
    return arguments


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Profile]:
    """Measure every interpreter.

    :raises LoadError: the load failed.
    """
    scenario, seconds = SCENARIOS[arguments.scenario], arguments.seconds
    kinds = {label: pingap_kind(python) for label, python in arguments.pythons.items()}
    with Processes(folder) as processes:
        bench = Bench(processes, folder)
        if not bench.start(kinds) or bench.running.keys() != kinds.keys():
            raise LoadError("not everything could be started")
        loads = bench.run(scenario, arguments.rounds, seconds)
        if loads.keys() != kinds.keys():
            raise LoadError("not everything could be measured")
        parts = {
            label: shares_of_parts(one, scenario, seconds, folder)
            for label, one in bench.running.items()
        }
    return {
        label: Profile(loads[label], modules_of(python, arguments.scenario), parts[label])
        for label, python in arguments.pythons.items()
    }


def main() -> int:
    """Measure and publish; 1 if something failed."""
    arguments = parse_arguments()
    about = f"{machine()}. {rounds(arguments.rounds, arguments.seconds)}."
    with tempfile.TemporaryDirectory(prefix="pingap-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx reads it as another user
        try:
            profiles = measure(arguments, folder)
        except LoadError as error:
            print(error, file=sys.stderr)
            return 1
    kinds = {label: pingap_kind(python) for label, python in arguments.pythons.items()}
    text = tables(profiles, arguments.scenario, f"{about}\n\n{versions(kinds)}")
    publish(text, "profile", arguments.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
