"""The supervising process: it starts workers, reloads them and hands over to a successor."""
