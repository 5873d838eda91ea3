"""What is particular to the machine: users, files, sockets of systemd, signals."""
