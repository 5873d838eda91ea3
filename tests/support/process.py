"""pingap in processes of its own, under the short name that the tests of the core use.

A test of a plugin rarely needs it: its proxy is :class:`pingap.testing.Proxy`, in the test's process. Processes are for
what only they have: signals, reloads and upgrades, several workers, arguments, memory, descriptors.
"""

from __future__ import annotations

from pingap.testing import ProxyProcess as Process

__all__ = ["Process"]
