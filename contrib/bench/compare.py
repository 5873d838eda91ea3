"""Measure pingap beside nginx, HAProxy, Caddy and aiohttp, on the same work, in one run.

Every proxy gets one worker and the same origin. The rounds take turns (A B C A B C ...), after one
second of warming up each, and the median is reported. Loopback only, bounded in time.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from processes import Processes, cpu_seconds, free_port, memory
from proxies import KINDS, version, write_origin

WARM_UP_SECONDS: Final = 1.0
_MILLISECONDS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Scenario:
    """What wrk asks for.

    :param connections: how many keep-alive connections it uses.
    """

    path: str
    connections: int


SCENARIOS: Final = {
    "ping": Scenario("/ping", 10),
    "proxy-1k": Scenario("/1k", 10),
    "proxy-1k-c500": Scenario("/1k", 500),
    "proxy-64k": Scenario("/64k", 10),
    "proxy-1m": Scenario("/1m", 4),
}


class LoadError(Exception):
    """A run cannot be counted; the message says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run, or the median of several, has shown.

    :param per_cpu_second: requests per second of CPU time of the proxy.
    :param per_second: requests per second on the clock.
    :param p99: milliseconds.
    :param memory: bytes, of the whole process tree, after the run.
    """

    per_cpu_second: float
    per_second: float
    p99: float
    memory: float

    @classmethod
    def median(cls, samples: list[Sample]) -> Sample:
        """Return the median of every figure by itself."""
        return cls(
            statistics.median(one.per_cpu_second for one in samples),
            statistics.median(one.per_second for one in samples),
            statistics.median(one.p99 for one in samples),
            statistics.median(one.memory for one in samples),
        )


def run_wrk(port: int, scenario: Scenario, seconds: float) -> tuple[int, float, float]:
    """Return the requests answered, requests per second and the p99 in milliseconds.

    :raises LoadError: some requests failed, or wrk said something unknown.
    """
    url = f"http://127.0.0.1:{port}{scenario.path}"
    command = ["wrk", "-t1", f"-c{scenario.connections}", f"-d{seconds:g}s", "--latency", url]
    limit = seconds + 30
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    if failure := re.search(r"Non-2xx.*|Socket errors.*", done.stdout):
        raise LoadError(failure[0])
    requests = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if requests is None or rate is None or p99 is None or not int(requests[1]):
        raise LoadError(f"wrk: {(done.stdout + done.stderr).strip()[-200:]}")
    return int(requests[1]), float(rate[1]), float(p99[1]) * _MILLISECONDS[p99[2]]


def measure(pid: int, port: int, scenario: Scenario, seconds: float) -> Sample:
    """Run a scenario once."""
    before = cpu_seconds(pid)
    requests, rate, p99 = run_wrk(port, scenario, seconds)
    spent = cpu_seconds(pid) - before
    if spent <= 0:
        raise LoadError("too short to see any CPU time")
    return Sample(requests / spent, rate, p99, memory(pid))


class Bench:
    """The proxies that run, and what was measured of them."""

    def __init__(self, processes: Processes, ports: dict[str, int]) -> None:
        self._processes = processes
        self._ports = ports
        self.names = list(ports)

    def run(self, scenario: Scenario, rounds: int, seconds: float) -> dict[str, Sample]:
        """Return the medians of a scenario by proxy; a proxy that fails is left out, and told."""
        samples: dict[str, list[Sample]] = {name: [] for name in self.names}
        failed: set[str] = set()
        for turn in range(rounds + 1):
            for name in self.names:
                if name in failed:
                    continue
                length = seconds if turn else WARM_UP_SECONDS
                try:
                    pid = self._processes.pid(name)
                    sample = measure(pid, self._ports[name], scenario, length)
                except (LoadError, subprocess.TimeoutExpired) as error:
                    print(f"{name} left out: {error}", file=sys.stderr)
                    failed.add(name)
                    continue
                if turn:
                    samples[name].append(sample)
        return {name: Sample.median(got) for name, got in samples.items() if name not in failed}


Results = dict[str, dict[str, Sample]]


def show(name: str, row: dict[str, Sample]) -> Iterator[str]:
    """Yield a line for each proxy."""
    reference = row.get("nginx")
    for proxy, one in row.items():
        ratio = f"{one.per_cpu_second / reference.per_cpu_second:5.2f} x nginx" if reference else ""
        yield (
            f"{name:14} {proxy:8} {one.per_cpu_second:9.0f} req/CPU-s "
            f"{1e6 / one.per_cpu_second:7.1f} us/req {one.per_second:8.0f} req/s  "
            f"p99 {one.p99:7.2f} ms {one.memory / 2**20:6.1f} MiB {ratio}"
        )


def markdown(results: Results, names: list[str], rounds: int, seconds: float) -> str:
    """Return the tables of ``docs/performance.md``."""
    tables = [
        ("Requests per CPU second, and relative to nginx", _relative),
        ("99th percentile of the answer time, ms", lambda one, _: f"{one.p99:.2f}"),
        ("Memory after the run, MiB", lambda one, _: f"{one.memory / 2**20:.1f}"),
    ]
    parts = [_machine(names, rounds, seconds)]
    for title, cell in tables:
        lines = [f"| scenario | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
        for scenario, row in results.items():
            cells = [cell(row[one], row.get("nginx")) if one in row else "-" for one in names]
            lines.append(f"| {scenario} | {' | '.join(cells)} |")
        parts.append(f"### {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _relative(one: Sample, reference: Sample | None) -> str:
    ratio = f" ({one.per_cpu_second / reference.per_cpu_second:.2f})" if reference else ""
    return f"{one.per_cpu_second:.0f}{ratio}"


def _machine(names: list[str], rounds: int, seconds: float) -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cpu = model[1] if model else platform.machine()
    versions = "; ".join(version(name) for name in names)
    return (
        f"{cpu}; Linux {platform.release()}; {platform.python_implementation()} "
        f"{platform.python_version()}; {versions}. Median of {rounds} rounds of {seconds:g} s."
    )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    scenarios, kinds = list(SCENARIOS), ",".join(KINDS)
    parser.add_argument("--only", action="append", choices=scenarios, help="may be repeated")
    parser.add_argument("--proxies", default=kinds, help=f"separated by commas [{kinds}]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round")
    parser.add_argument("--markdown", action="store_true", help="print tables for the manual")
    arguments = parser.parse_args()
    if unknown := set(arguments.proxies.split(",")) - KINDS.keys():
        parser.error(f"unknown proxy {', '.join(sorted(unknown))} (known: {kinds})")
    if arguments.rounds < 1 or not 0.1 <= arguments.seconds <= 600:
        parser.error("at least one round, of 0.1 to 600 seconds")
    return arguments


def start(processes: Processes, folder: Path, wanted: list[str]) -> Bench | None:
    """Start the origin and the proxies; tell what is skipped. None without an origin."""
    origin = free_port()
    if not processes.start("origin", write_origin(folder, origin), origin):
        return None
    ports = {}
    for name in wanted:
        if missing := KINDS[name].missing():
            print(f"{name} skipped: {missing}", file=sys.stderr)
            continue
        port = free_port()
        if processes.start(name, KINDS[name].command(folder, port, origin), port):
            ports[name] = port
    return Bench(processes, ports)


def main() -> int:
    """Run the comparison; 1 if something that was asked for could not be measured."""
    arguments = parse_arguments()
    for command, why in (("nginx", "it is the origin"), ("wrk", "it makes the requests")):
        if not shutil.which(command):
            print(f"{command} is not installed, and {why}: nothing is measured", file=sys.stderr)
            return 1
    wanted = arguments.proxies.split(",")
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="pingap-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx reads it as another user
        with Processes(folder) as processes:
            bench = start(processes, folder, wanted)
            if bench is None:
                return 1
            for scenario in arguments.only or SCENARIOS:
                setting = SCENARIOS[scenario]
                row = bench.run(setting, arguments.rounds, arguments.seconds)
                results[scenario] = row
                out = sys.stderr if arguments.markdown else sys.stdout
                print(*show(scenario, row), sep="\n", file=out, flush=True)
    if arguments.markdown:
        print(markdown(results, bench.names, arguments.rounds, arguments.seconds))
    return 0 if all("pingap" in row for row in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
