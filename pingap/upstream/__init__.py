"""The upstream side: choosing a peer, connections, and requests on them."""
