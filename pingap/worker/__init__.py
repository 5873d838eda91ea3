"""One worker process: it accepts connections, serves, drains and reports."""
