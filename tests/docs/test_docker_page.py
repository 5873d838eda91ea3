"""The page about containers: its compose file is YAML, and its labels are the locations that it promises."""

from __future__ import annotations

from typing import Any

import yaml
from docs.blocks import DOCS, blocks, shown_file
from pingap_docker.documents import snapshot_of
from pingap_docker.labels import LABELS

from pingap.build.loading import load_configuration
from pingap.config.snapshot import Snapshot
from pingap.plugins.registry import Registry


def started(name: str, service: dict[str, Any], address: str) -> dict[str, Any]:
    """Return a container of a service, as the daemon lists it."""
    networks = service["networks"]
    return {
        "Names": [f"/{name}"],
        "State": "running",
        "Labels": service.get("labels", {}),
        "Ports": [],
        "NetworkSettings": {"Networks": {one: {"IPAddress": address} for one in networks}},
    }


def test_the_compose_file(registry: Registry) -> None:
    compose = yaml.safe_load(shown_file("docker.md", "compose.yaml"))
    services = compose["services"]
    for service in services.values():
        assert set(service["networks"]) <= compose["networks"].keys()
        assert all(isinstance(one, str) for one in service.get("labels", {}).values())
    assert services["pingap"]["command"][3].startswith("docker://socket-proxy:")
    containers = [started(name, one, "10.0.0.2") for name, one in services.items()]
    containers.append(started("api-2", services["api"], "10.0.0.3"))
    labels = snapshot_of(containers, ("*",))
    files = (("main.toml", shown_file("docker.md", "conf/main.toml")), *labels.files)
    config = load_configuration(Snapshot(files=files, optional=labels.optional), registry)
    assert config.warnings == []
    assert config.servers["web"].locations == ("api", "wiki")
    assert config.locations["wiki"].enable_reverse_proxy_headers
    assert config.upstreams["api"].addrs == ("10.0.0.2:8000 1", "10.0.0.3:8000 1")
    assert config.upstreams["api"].read_timeout == 60


def test_all_labels_are_on_the_page() -> None:
    page = (DOCS / "docker.md").read_text()
    assert [one for one in LABELS if f"`pingap.{one}`" not in page] == []


def test_the_warnings_are_those_that_are_shown(registry: Registry) -> None:
    (shown,) = (block.text for block in blocks("text", DOCS / "docker.md"))
    service = {"networks": ["proxy"]}
    labels = {"pingap.host": "x", "pingap.port": "http"}
    wiki = started("wiki", {**service, "labels": labels}, "10.0.0.2")
    labels = {"pingap.host": "x", "pingap.port": "80", "pingap.plugins": "limitd"}
    shop = started("shop", {**service, "labels": labels}, "10.0.0.3")
    found = snapshot_of([wiki, shop], ("*",))
    main = ("main.toml", shown_file("docker.md", "conf/main.toml"))
    config = load_configuration(
        Snapshot(files=(main, *found.files), warnings=found.warnings, optional=found.optional),
        registry,
    )
    said = {f"warning: {one}" for one in config.warnings if "container" in str(one)}
    assert said == set(shown.splitlines())
