"""The configuration of ``--upstream``, which needs no file (cli.md, section 8)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pingap.config.references import absolute_path

_CERTIFICATES: Final = ("fullchain.pem", "cert.pem", "tls.crt", "server.crt", "cert.crt")
_KEYS: Final = ("privkey.pem", "key.pem", "tls.key", "server.key", "cert.key")


def quick_start(options: dict[str, Any]) -> str:
    """Return the configuration as TOML.

    It listens on the loopback interface only, unless ``--addr`` is given: a quick test should not publish an
    application.

    :param options: of the command line: ``upstream``, ``addr``, ``domain``, ``cert``, ``key``.
    :raises ValueError: with a message for the operator: a file of the certificate is missing.
    """
    domain, cert = options["domain"] or "", options["cert"]
    addresses = [one.strip() for one in options["upstream"].split(",") if one.strip()]
    text = [
        "[upstreams.pingap]",
        f"addrs = [{', '.join(map(_toml_string, addresses))}]",
        "[locations.pingap]",
        'path = "/"',
        'upstream = "pingap"',
        *([f"host = {_toml_string(domain)}"] if domain else []),
        "[servers.pingap]",
        f"addr = {_toml_string(options['addr'] or f'127.0.0.1:{443 if cert else 80}')}",
        'locations = ["pingap"]',
        'access_log = "combined"',
    ]
    if cert:
        text += ["global_certificates = true", "enabled_h2 = true", *_certificate(options, domain)]
    return "\n".join([*text, ""])


def _certificate(options: dict[str, Any], domain: str) -> Iterable[str]:
    place = absolute_path(options["cert"])
    cert = _file_of(place, _CERTIFICATES, "--cert")
    if options["key"]:
        key = _file_of(absolute_path(options["key"]), (), "--key")
    else:
        key = _file_of(cert.parent, _KEYS, "--key is not given, and beside the certificate")
    yield "[certificates.pingap]"
    yield f"tls_cert = {_toml_string(str(cert))}"
    yield f"tls_key = {_toml_string(str(key))}"
    yield f"domains = {_toml_string(domain)}"
    yield "is_default = true"


def _file_of(place: Path, names: tuple[str, ...], flag: str) -> Path:
    """Return the path if it is a file, or the first of these names in the directory.

    :raises ValueError: there is none.
    """
    if names and place.is_dir():
        for name in names:
            if (place / name).is_file():
                return (place / name).absolute()
        raise ValueError(f"{flag}: {place} has none of {', '.join(names)}")
    if not place.is_file():
        raise ValueError(f"{flag}: there is no file {place}")
    return place.absolute()


def _toml_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
