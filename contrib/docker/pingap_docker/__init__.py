"""Discovery by Docker: backends are the running containers with a label.

``discovery`` is the interface to pingap, ``engine`` communicates with the Docker daemon, and ``containers``
determines the addresses of containers. Nothing is imported here: pingap loads the discovery only if a
configuration uses it.
"""
