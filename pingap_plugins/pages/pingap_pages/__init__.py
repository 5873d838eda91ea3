"""Pages of a site for errors and for maintenance.

``error_pages`` is the plugin behind the keys of locations and servers, ``rules`` are their settings, ``files``
makes responses from files and templates, ``fetched`` requests pages from an upstream. ``maintenance`` answers
while a file exists. Nothing is imported here: pingap loads a plugin only if a configuration names it.
"""
