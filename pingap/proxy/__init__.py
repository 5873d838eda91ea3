"""The proxy itself: the lifecycle of a request, routing, and relaying bodies. Start with ``lifecycle``."""
