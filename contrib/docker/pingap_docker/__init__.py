"""Docker: locations from the labels of containers, and backends that are the containers with a label.

``storage`` and ``discovery`` are the interfaces to pingap. ``labels`` reads the labels of one container,
``documents`` makes a configuration of all, ``engine`` communicates with the Docker daemon, and ``containers``
determines the addresses of containers. Nothing is imported here: pingap loads only the interface that is
used.
"""
