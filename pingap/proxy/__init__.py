"""The proxy itself: the lifecycle of a request, routing, and the relay of bodies. Start with ``lifecycle``."""
