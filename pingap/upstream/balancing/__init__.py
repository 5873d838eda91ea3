"""Choosing a peer of an upstream: a module for each way to do it (``algo``), and what they share.

``balancer`` is what they all are; ``standard`` names those that come with pingap, by the hook
``pingap_balancers`` like everybody. ``selection`` is what an upstream asks: it knows which peers are
available, and turns to backups, or to all of them, when too few are.
"""
