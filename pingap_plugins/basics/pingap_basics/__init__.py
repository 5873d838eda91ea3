"""The everyday plugins of pingap, one module each.

``keys`` holds the types of settings that several of them share, ``machine`` what ``stats`` asks the
operating system, ``ids`` how ``request_id`` makes its ids. Nothing is imported here: pingap loads
only the plugins that a configuration names.
"""
