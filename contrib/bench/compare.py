"""Compare pingap with nginx, HAProxy, Caddy and aiohttp, with the same work, in one run.

Every proxy gets one worker and the same origin. The rounds take turns (A B C A B C ...), after one
second of warming up each, and the median is reported. Loopback only, bounded in time.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load import LoadError, run
from origin import write_origin
from processes import Processes, cpu_time, free_port, memory
from proxies import KINDS, Kind, Ports, pingap_kind, version
from report import Row, Sample, machine, publish, rounds, show, tables
from scenarios import SCENARIOS, Scenario

WARM_UP_SECONDS: Final = 1
NEEDED: Final = {
    "nginx": "it is the origin",
    "wrk": "it makes the requests",
    "openssl": "it makes the certificate",
}


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that has been started."""

    kind: Kind
    pid: int
    ports: Ports


class Bench:
    """The origin, the proxies and their measurements.

    :param folder: for their files; nginx reads it as another user.
    """

    def __init__(self, processes: Processes, folder: Path) -> None:
        self._processes = processes
        self._folder = folder
        self._origin = free_port()
        self.running: dict[str, Running] = {}

    def start(self, kinds: dict[str, Kind]) -> bool:
        """Start everything and report what is skipped; False if nothing can be measured."""
        for tool, why in NEEDED.items():
            if not shutil.which(tool):
                print(f"{tool} is not installed, and {why}: nothing is measured", file=sys.stderr)
                return False
        command = write_origin(self._folder, self._origin)
        if not self._processes.start("origin", command, self._origin):
            return False
        for number, (name, kind) in enumerate(kinds.items()):
            if missing := kind.missing():
                print(f"{name} skipped: {missing}", file=sys.stderr)
                continue
            folder = self._folder / str(number)
            folder.mkdir()
            ports = Ports.free()
            if self._processes.start(name, kind.command(folder, ports, self._origin), ports.plain):
                self.running[name] = Running(kind, self._processes.pid(name), ports)
        return True

    def run(self, scenario: Scenario, rounds: int, seconds: int) -> Row:
        """Return the medians of a scenario; a proxy that fails is reported and omitted."""
        samples: dict[str, list[Sample]] = {
            name: []
            for name, one in self.running.items()
            if scenario.protocol in one.kind.protocols
        }
        for turn in range(rounds + 1):
            for name in list(samples):
                length = seconds if turn else WARM_UP_SECONDS
                try:
                    sample = self._measure(self.running[name], scenario, length)
                except LoadError as error:
                    print(f"{name} left out: {error}", file=sys.stderr)
                    del samples[name]
                    continue
                if turn:
                    samples[name].append(sample)
        return {name: Sample.median(got) for name, got in samples.items()}

    def _measure(self, proxy: Running, scenario: Scenario, seconds: int) -> Sample:
        before = cpu_time(proxy.pid)
        load = run(scenario, proxy.ports, seconds, self._folder)
        spent = cpu_time(proxy.pid).since(before)
        if spent.total <= 0:
            raise LoadError("too short to see any CPU time")
        user, kernel = (one / load.requests * 1e6 for one in spent)
        return Sample(user, kernel, load.rate, load.p50, load.p99, memory(proxy.pid))


def interpreters(pythons: list[str]) -> dict[str, list[str]]:
    """Return the commands of interpreters by label.

    :param pythons: each written as ``LABEL=COMMAND``.
    :raises ValueError: one is not.
    """
    commands = {}
    for one in pythons:
        label, sign, command = one.partition("=")
        if not (label and sign and command.strip()):
            raise ValueError(f"--python {one}: LABEL=COMMAND is expected")
        commands[label] = shlex.split(command)
    return commands


def wanted_kinds(proxies: str, pythons: list[str]) -> dict[str, Kind]:
    """Return the proxies to measure, in order.

    :param proxies: names, separated by commas.
    :param pythons: interpreters that replace pingap's own, as ``LABEL=COMMAND``.
    :raises ValueError: a name is unknown, or an interpreter does not have this form.
    """
    kinds: dict[str, Kind] = {}
    for name in proxies.split(","):
        if name not in KINDS:
            raise ValueError(f"unknown proxy {name} (known: {','.join(KINDS)})")
        if name != "pingap" or not pythons:
            kinds[name] = KINDS[name]
            continue
        for label, command in interpreters(pythons).items():
            kinds[f"pingap {label}"] = pingap_kind(command)
    return kinds


def parse_arguments() -> argparse.Namespace:
    """Read the command line; ``kinds`` are the proxies to measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    scenarios, kinds = list(SCENARIOS), ",".join(KINDS)
    add("--only", action="append", choices=scenarios, help="a scenario; may be repeated")
    add("--proxies", default=kinds, help=f"separated by commas [{kinds}]")
    add("--python", action="append", default=[], metavar="LABEL=COMMAND",
        help="run pingap with this interpreter; may be repeated, for a column each")  # fmt: skip
    add("--rounds", type=int, default=3)
    add("--seconds", type=int, default=3, help="length of a round")
    add("--markdown", nargs="?", const="-", metavar="FILE",
        help="print tables for the manual, or put them between the marks in FILE")  # fmt: skip
    arguments = parser.parse_args()
    try:
        arguments.kinds = wanted_kinds(arguments.proxies, arguments.python)
    except ValueError as error:
        parser.error(str(error))
    if arguments.rounds < 1 or not 1 <= arguments.seconds <= 600:
        parser.error("at least one round, of 1 to 600 seconds")
    return arguments


def measure(bench: Bench, arguments: argparse.Namespace) -> dict[str, Row]:
    """Run the selected scenarios, and show the result of each."""
    results: dict[str, Row] = {}
    for name in arguments.only or SCENARIOS:
        scenario = SCENARIOS[name]
        if scenario.tool and not shutil.which(scenario.tool):
            print(f"{name} skipped: {scenario.tool} is not installed", file=sys.stderr)
            continue
        results[name] = bench.run(scenario, arguments.rounds, arguments.seconds)
        out = sys.stderr if arguments.markdown else sys.stdout
        print(*show(name, results[name]), sep="\n", file=out, flush=True)
    return results


def versions(kinds: dict[str, Kind]) -> str:
    """Return a list of the measured versions."""
    return "\n".join(f"- {name}: {version(kind)}" for name, kind in kinds.items())


def main() -> int:
    """Run the comparison; 1 if a selected proxy or scenario could not be measured."""
    arguments = parse_arguments()
    about = f"{machine()}. {rounds(arguments.rounds, arguments.seconds)}."
    with tempfile.TemporaryDirectory(prefix="pingap-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Processes(folder) as processes:
            bench = Bench(processes, folder)
            if not bench.start(arguments.kinds):
                return 1
            results = measure(bench, arguments)
            measured = {name: one.kind for name, one in bench.running.items()}
    if arguments.markdown:
        text = tables(results, list(measured), f"{about}\n\n{versions(measured)}")
        publish(text, "results", arguments.markdown)
    ours = [name for name in arguments.kinds if name.startswith("pingap")]
    return 0 if all(name in row for row in results.values() for name in ours) else 1


if __name__ == "__main__":
    sys.exit(main())
