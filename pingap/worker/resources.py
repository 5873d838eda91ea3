"""Resource settings of a worker process: garbage collector and open files."""

from __future__ import annotations

import gc
import resource

from pingap.config import Config
from pingap.downstream.proxy_acceptor import MOST_WAITING


def settle_memory() -> None:
    """Exclude objects that live as long as the configuration from garbage collection."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 50)


def raise_file_limit(config: Config) -> None:
    """Allow this process as many open files as its connections may need."""
    wanted = _files_needed(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _files_needed(config: Config) -> int:
    """Return how many open files may be needed: connections on both sides, early ones, others."""
    early = sum(MOST_WAITING for server in config.servers.values() if server.proxy_protocol)
    handshakes = sum(
        server.tls_max_handshakes
        for server in config.servers.values()
        if server.global_certificates
    )
    return 2 * config.basic.max_connections + early + handshakes + 256
