"""The client's side: listeners, connections and their time limits."""
