"""What sockets of both sides share: TCP, batched writes, time limits, the TLS transport, the halves of HTTP/2."""
