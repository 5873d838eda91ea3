"""The client side: listeners, connections and their time limits."""
