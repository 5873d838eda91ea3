"""The upstream's side: which peer, which connection, and what is sent over it."""
