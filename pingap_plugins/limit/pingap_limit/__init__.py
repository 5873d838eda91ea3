"""Limits for pingap: how often requests may come, and how many may be in progress.

``rates`` and ``standing`` are the terms; ``storage`` keeps, in the shared state, what clients have used, for
the strategies of the library limits and of ``strategies``. ``redis_limiter`` does the same over machines,
``slots`` and ``redis_slots`` count requests in progress. ``keys`` finds out whose limit it is, ``fields``
writes header fields, and ``plugin`` is the plugin.
"""
