"""Everything specific to the machine: users, files, systemd sockets, signals."""
