"""Images in AVIF and WebP, re-encoded and resized on their way to clients.

Decisions are made in modules without IO: ``accept`` (which types a client takes), ``plans`` (what a request asks
for) and ``heads`` (header fields). ``pool`` hands images to processes of its own (``converter``), which run
``child`` and decode and encode with Pillow (``images``, ``encoders``). ``plugin`` is the plugin.

Nothing is imported here: the processes import this package, too, and need nothing of pingap.
"""
