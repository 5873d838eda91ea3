"""What the proxy tells of itself: logs, metrics, timing."""
