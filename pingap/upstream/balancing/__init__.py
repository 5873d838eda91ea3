"""Choosing a peer of an upstream: one module per algorithm (``algo``), and shared parts.

``balancer`` defines the base class. ``standard`` provides pingap's own balancers through the hook
``pingap_balancers``, as a distribution would. ``selection`` is used by upstreams: it knows which peers are
available, and uses backups, or all peers, if too few are.
"""
