"""The scope of a request: what the application learns about it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_to_bytes

from pingap import OriginCall, Request
from pingap_asgi.protocol import HTTP_VERSION, VERSION, Scope

_HTTP: Final = {"1.0": "1.0", "1.1": "1.1", "2.0": "2"}
_TLS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def http_scope(call: OriginCall, root_path: str, state: dict[str, Any]) -> Scope:
    """Return the scope of an HTTP request.

    :param root_path: where the application is mounted.
    :param state: of the lifespan; each request gets a copy.
    """
    scope = _scope(call, root_path, state)
    scope["type"] = "http"
    scope["method"] = call.request.method
    extensions = scope["extensions"]
    extensions["http.response.trailers"] = {}
    extensions["http.response.early_hint"] = {}
    return scope


def websocket_scope(call: OriginCall, root_path: str, state: dict[str, Any]) -> Scope:
    """Return the scope of a WebSocket; parameters as of ``http_scope``."""
    scope = _scope(call, root_path, state)
    scope["type"] = "websocket"
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    offered = call.headers.get("sec-websocket-protocol", "")
    scope["subprotocols"] = [one.strip() for one in offered.split(",") if one.strip()]
    scope["extensions"]["websocket.http.response"] = {}
    return scope


def _scope(call: OriginCall, root_path: str, state: dict[str, Any]) -> Scope:
    request, ctx, headers = call.request, call.ctx, call.headers
    connection = ctx.connection
    client, port, scheme = connection.remote_addr, connection.remote_port, connection.scheme
    if connection.is_trusted:  # then the connection is that of a proxy
        client, scheme = ctx.client_ip(request), ctx.scheme(request)
        port = port if client == connection.remote_addr else 0
    target = request.target
    raw_path = target.partition("?")[0].encode("latin-1")
    path = raw_path.decode("utf-8", "replace") if b"%" not in raw_path else _decoded(raw_path)
    if root_path and not (path == root_path or path.startswith(root_path + "/")):
        path, raw_path = root_path + path, root_path.encode() + raw_path
    extensions: dict[str, Any] = {
        "pingap": {"user": ctx.user, "request_id": ctx.request_id, "location": ctx.location}
    }
    if connection.tls is not None:
        extensions["tls"] = _tls(connection.tls)
    return {
        "asgi": {"version": VERSION, "spec_version": HTTP_VERSION},
        "http_version": _HTTP.get(request.http_version, request.http_version),
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path,
        "query_string": request.query.encode("latin-1"),
        "root_path": root_path,
        "headers": [
            (key, line[len(key) + 2 :])
            for key, line in zip(headers.keys, headers.lines, strict=True)
        ],
        "client": (client, port) if client else None,
        "server": (connection.server_addr, connection.server_port or None),
        "state": state.copy(),
        "extensions": extensions,
    }


def _decoded(raw_path: bytes) -> str:
    return unquote_to_bytes(raw_path).decode("utf-8", "replace")


def _tls(tls: Any) -> dict[str, Any]:
    """Return what the TLS extension of ASGI defines, as far as pingap keeps it."""
    return {
        "server_cert": None,
        "client_cert_chain": [],
        "client_cert_name": tls.client_subject or None,
        "client_cert_error": None,
        "tls_version": _TLS.get(tls.version),
        "cipher_suite": None,
    }


def asks_for_websocket(request: Request) -> bool:
    """Return whether a request is the handshake of a WebSocket (RFC 6455, 4.2.1)."""
    if not request.upgrade or request.method != "GET":
        return False
    return "websocket" in [one.strip().lower() for one in request.upgrade.split(",")]
