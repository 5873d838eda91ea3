"""Checks that the machine provides what a configuration needs, before anything is opened.

``-t``, the start and a reload run the same checks.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

from pingap.config import Address, Config, ConfigError, Problem, TcpAddress
from pingap.config.problem import KeyPath
from pingap.config.references import absolute_path
from pingap.host.log_targets import stream_of
from pingap.host.privileges import Account, account_problems, make_folder
from pingap.observability.access_log import split_setting
from pingap.observability.log_files import path_of

_NO_SERVER = (
    "there is no server: add a table such as [servers.web] with addr and locations"
    " (the admin listener is not in this release yet)"
)


def start_problems(config: Config) -> list[Problem]:
    """Return the reasons why a configuration cannot be served here: unknown users or hosts, no servers."""
    return [*_server_problems(config), *account_problems(config)]


def refuse(problems: list[Problem]) -> None:
    """Raise an error if there is any problem.

    :raises ConfigError: with all of them.
    """
    if problems:
        raise ConfigError(problems)


def _server_problems(config: Config) -> Iterator[Problem]:
    if not config.servers:
        documents = config.source.documents
        file = documents[0].name if documents else None
        yield Problem(("servers",), _NO_SERVER, file)
    for name, settings in config.servers.items():
        for address in settings.addresses:
            if reason := _unknown_host(address):
                yield config.source.problem(("servers", name, "addr"), reason)


def _unknown_host(address: Address) -> str:
    """Return why the host of an address cannot be resolved; empty if it can."""
    if not isinstance(address, TcpAddress) or _is_ip(address.host):
        return ""
    try:
        socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        text = (error.strerror or str(error)).lower()
        return f"cannot listen on {address}: its host cannot be resolved: {text}"
    return ""


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def folder_problems(
    config: Config,
    log_target: str,
    pid_file: Path,
    account: Account,
    is_file: Callable[[str], bool] = bool,
) -> Iterator[Problem]:
    """Create the directories of files that the serving user opens; yield the problems.

    :param log_target: the value of ``--log``.
    :param is_file: returns whether a log target is a file.
    """
    keys: list[tuple[KeyPath, Path | None]] = []
    if is_file(log_target):
        keys.append((("--log",), path_of(log_target)))
    for name, settings in config.servers.items():
        target = split_setting(settings.access_log)[0] or ""
        if is_file(target):
            keys.append((("servers", name, "access_log"), path_of(target)))
    keys.append((("basic", "pid_file"), pid_file))
    if config.basic.upgrade_sock:
        place = absolute_path(config.basic.upgrade_sock)
        keys.append((("basic", "upgrade_sock"), place))
    for path, file in keys:
        if file is None or stream_of(file) is not None:
            continue
        try:
            make_folder(file.parent, account)
        except OSError as error:
            text = f"{account} cannot use the directory {file.parent}: {error.strerror}"
            yield config.source.problem(path, text)
