"""Proofs by DNS records (``dns-01``): where they are kept, and whether everybody sees them."""
