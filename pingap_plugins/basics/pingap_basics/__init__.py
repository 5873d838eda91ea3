"""The basic plugins of pingap, one module each.

``keys`` defines the types of settings that several of them share, ``machine`` queries the operating system
for ``stats``, ``ids`` creates the IDs for ``request_id``. Nothing is imported here: pingap loads only the
plugins that a configuration names.
"""
