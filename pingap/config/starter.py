"""The starter configuration, which ``pingap --template`` prints."""

from __future__ import annotations

TEMPLATE = """\
#:schema ./pingap.schema.json
# Editors complete and check this file with that schema: pingap schema > pingap.schema.json

# A reverse proxy with one server, one location and one upstream.
# Check it with:  pingap -c <this file> -t

[basic]
# A name for this instance.
name = "pingap"
# One of error, warn, info, debug, trace, off.
log_level = "info"
# How long requests in progress may continue after the signal to stop.
grace_period = "5m"
# Proxies in front of this one that are trusted to report the client's address.
# trusted_proxies = ["10.0.0.0/8"]

# Where pingap listens. A server tries its locations from the largest weight to the smallest.
[servers.main]
addr = "127.0.0.1:6188"
locations = ["app"]
access_log = "combined"
# Metrics for Prometheus, readable by every client of this server:
# prometheus_metrics = "/metrics"

# The requests that match, the plugins they pass, and their upstream.
[locations.app]
upstream = "backend"
# host = "www.example.com, *.example.org"
path = "/"
# Plugins run in this order. Names beginning with pingap: are built in.
plugins = ["pingap:requestId", "ping"]
# Send the client's address, scheme, host and port to the upstream.
enable_reverse_proxy_headers = true
proxy_set_headers = ["X-Proxy: pingap"]
client_max_body_size = "10MB"
max_retries = 2

# Backends: "host:port", optionally followed by a blank and a weight.
[upstreams.backend]
addrs = ["127.0.0.1:8080"]
connection_timeout = "5s"
read_timeout = "60s"
idle_timeout = "2m"

# A plugin, which locations list by this name; category selects what it does.
[plugins.ping]
category = "ping"
path = "/ping"
"""
"""A TOML document with comments that loads without problems and warnings."""
