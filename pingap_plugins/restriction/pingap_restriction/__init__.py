"""Plugins of pingap that refuse requests, one module each, and ``cors``.

``refusals`` has what they share: the type of a list, and the response to a refused client. Modules without
plugins make decisions without IO: ``networks`` (addresses). Nothing is imported here: pingap loads only the
plugins that a configuration names.
"""
