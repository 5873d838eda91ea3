"""``pingap explain METHOD URL``: how a request would be handled."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

import click

from pingap.build.builtin import METRICS
from pingap.build.registry import installed_registry
from pingap.cli.commands.common import aligned, built, conf_option, json_option, print_json
from pingap.config import Config
from pingap.http.request import Request
from pingap.inspection.asked import choose_server, read_request
from pingap.inspection.explanation import Explanation, Step, explain


@click.command(short_help="Show how a request would be handled, without sending it.")
@click.argument("method")
@click.argument("url")
@conf_option
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header.")
@click.option("--client", default="127.0.0.1", metavar="ADDRESS", help="The client, for match_ips.")
@click.option("--server", metavar="NAME", help="The server; by default found by the URL's port.")
@json_option
def command(
    method: str,
    url: str,
    conf: tuple[str, ...],
    headers: tuple[str, ...],
    client: str,
    server: str | None,
    as_json: bool,
) -> None:
    """Show which location matches a request and why the others do not.

    Shows the plugins the request would pass, phase by phase, and the upstream it would reach.
    Nothing is sent and no plugin is called. URL is http://host[:port]/path, or a path.

    Exits with 1 if no location matches.
    """
    with built(conf, installed_registry()) as runtime:
        try:
            ip_address(client)
            asked = read_request(method, url, headers)
            name = choose_server(runtime.config.servers, asked, server)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        explanation = explain(runtime, name, asked.request, client)
        if as_json:
            print_json(_as_json(explanation, asked.request))
        else:
            click.echo("\n".join(_lines(explanation, asked.request, runtime.config)))
    sys.exit(0 if explanation.location is not None else 1)


def _as_json(explanation: Explanation, request: Request) -> dict[str, Any]:
    found = asdict(explanation)
    for loss in found["losses"]:
        loss["reasons"] = [{"kind": kind, "text": text} for kind, text in loss["reasons"]]
    if found["upstream"] is not None:
        peers = found["upstream"]["peers"]
        found["upstream"]["peers"] = [
            {"address": text, "weight": weight, "backup": backup} for text, weight, backup in peers
        ]
        found["upstream"]["settings"] = dict(found["upstream"]["settings"])
    target = _as_text(request.target)
    asked = {"method": request.method, "host": request.host, "target": target}
    return {"request": asked, **found}


def _lines(explanation: Explanation, request: Request, config: Config) -> Iterator[str]:
    server = explanation.server
    yield f"{request.method} {_as_text(request.target)}, host {request.host or 'not named'}"
    yield ""
    added = f"  (of the distribution {config.added[server]})" if server in config.added else ""
    facts = [("server", server, config.servers[server].addr + added)]
    if explanation.path and explanation.path != _as_text(request.target).partition("?")[0]:
        facts.append(("path", explanation.path, config.servers[server].path_matching))
    if explanation.refusal and explanation.location is None:
        yield from aligned(facts)
        yield f"It is rejected before locations are matched: {explanation.refusal}"
    elif explanation.location is None:
        yield from aligned(facts)
        yield "No location matches: the request gets 404."
    else:
        place = str(explanation.place)
        facts.append(("location", explanation.location, f"weight {explanation.weight}  {place}"))
        facts += [("capture", name, text) for name, text in explanation.captures.items()]
        yield from aligned(facts)
    if explanation.losses:
        yield ""
        yield "Other locations of the server, heaviest first:"
        rows = [
            (loss.location, str(loss.weight), "; ".join(text for _, text in loss.reasons))
            for loss in explanation.losses
        ]
        places = [str(loss.place) for loss in explanation.losses]
        yield from aligned([(*row, at) for row, at in zip(rows, places, strict=True)], "  ")
    if explanation.location == METRICS:
        yield from ("", "The proxy answers with the metrics of the server.")
    elif explanation.location is not None:
        yield from _plugin_lines(explanation)
        yield from _header_lines(explanation)
        yield from _upstream_lines(explanation)
    elif explanation.chain:  # of the plugins of the server
        yield from _plugin_lines(explanation)
    yield from _environment_lines(explanation)


def _as_text(target: str) -> str:
    """Return a target, which has one character per byte, as readable text."""
    return target.encode("latin-1").decode("utf-8", "replace")


def _plugin_lines(explanation: Explanation) -> Iterator[str]:
    yield ""
    if not explanation.chain:
        yield "No plugins."
        return
    yield "Plugins, in the order in which they run:"
    rows: list[tuple[str, ...]] = []
    for phase, steps in explanation.chain.items():
        for step in steps:
            rows.append((phase, *_step_cells(step)))
            phase = ""
    yield from aligned(rows, "  ")


def _step_cells(step: Step) -> tuple[str, str, str, str]:
    return step.plugin, str(step.configured) or "built in", step.function, str(step.code)


def _header_lines(explanation: Explanation) -> Iterator[str]:
    if explanation.headers and (
        explanation.upstream or explanation.no_upstream or explanation.origin
    ):
        yield ""
        yield "Headers to the upstream:"
        rows = [(one.action, one.entry, str(one.place)) for one in explanation.headers]
        yield from aligned(rows, "  ")


def _environment_lines(explanation: Explanation) -> Iterator[str]:
    if explanation.environment:
        yield ""
        yield "From the environment:"
        rows = [
            (one.key, one.written, f"= {one.value}", str(one.place))
            for one in explanation.environment
        ]
        yield from aligned(rows, "  ")


def _upstream_lines(explanation: Explanation) -> Iterator[str]:
    yield ""
    if explanation.no_upstream:
        yield f"No upstream is known: {explanation.no_upstream}"
    elif explanation.refusal:
        yield f"It is not sent to an upstream: {explanation.refusal}"
    elif explanation.origin:
        yield f"The plugin {explanation.origin} answers in place of an upstream."
    elif explanation.upstream is None:
        yield "No upstream: a request that no plugin answers gets 503."
    else:
        yield f"Upstream {explanation.upstream.name}  {explanation.upstream.place}".rstrip()
        rows = [
            (text, f"weight {weight}{', backup' if backup else ''}")
            for text, weight, backup in explanation.upstream.peers
        ]
        yield from aligned([*rows, *explanation.upstream.settings], "  ")
