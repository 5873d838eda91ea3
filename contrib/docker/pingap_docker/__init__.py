"""Discovery by Docker: backends are the running containers with a label.

``discovery`` is what pingap asks, ``engine`` speaks to the Docker daemon, and ``containers`` knows
where requests to a container go. Nothing is imported here: pingap loads the discovery only if a
configuration uses it.
"""
