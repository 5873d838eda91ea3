"""ASGI applications in a location, served by the worker itself: the location key ``asgi``.

``plugin`` is the plugin behind the keys, ``importing`` finds the application, ``application`` starts and stops
it (``lifespan``) and begins its tasks; ``scope``, ``http`` and ``websocket`` translate between ASGI 3.0 and
the origin interface of pingap. Nothing is imported here: pingap loads the plugin only if a configuration has
one of the keys.
"""
