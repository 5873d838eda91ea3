"""``pingap convert``: between the formats of pingap, and from nginx.conf and Caddyfile.

``result`` collects the tables and what was left out. ``nginx`` and ``caddy`` read and convert, ``formats`` reads and writes
the formats of pingap itself.
"""
