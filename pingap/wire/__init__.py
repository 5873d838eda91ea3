"""Socket-level code for both sides: TCP, batched writes, time limits, the TLS transport, HTTP/2 stream halves."""
