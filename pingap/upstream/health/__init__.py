"""Which peers can be sent requests: what checks find, and what becomes of the requests themselves."""
