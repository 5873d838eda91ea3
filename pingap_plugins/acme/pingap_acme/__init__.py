"""Automatic certificates: orders them from an ACME authority (RFC 8555), and renews them."""
