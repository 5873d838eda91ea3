"""The process: listeners, signals, the start and the end."""
