"""Discovery by DNS: backends follow the A, AAAA and SRV records of names.

``discovery`` is what pingap asks, ``resolver`` asks name servers, ``hosts`` knows the hosts file, and
``records`` works out what the answers lead to. Nothing is imported here: pingap loads the discovery
only if a configuration uses it.
"""
