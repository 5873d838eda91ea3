"""TLS: certificates, contexts for servers and upstreams, and the encrypting transport."""
