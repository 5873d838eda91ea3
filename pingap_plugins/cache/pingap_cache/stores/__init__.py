"""Where entries are kept: in memory, on disk, or in memory in front of a disk."""
