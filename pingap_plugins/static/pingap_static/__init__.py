"""Files of a directory as responses.

``plugin`` is the plugin. ``paths`` turns a request into the name of a file, ``opening`` opens it without
leaving the directory, ``lookup`` does both in a thread, ``hot`` remembers small files, ``answering`` decides
about conditions and ranges, ``listing`` and ``page`` show what a directory contains.
"""
