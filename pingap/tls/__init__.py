"""TLS: certificates, contexts for servers and upstreams, and the transport that encrypts."""
