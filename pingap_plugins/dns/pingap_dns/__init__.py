"""Discovery by DNS: backends follow the A, AAAA and SRV records of names.

``discovery`` is the interface to pingap, ``resolver`` queries name servers, ``hosts`` reads the hosts file,
and ``records`` derives endpoints from the answers. Nothing is imported here: pingap loads the discovery only
if a configuration uses it.
"""
