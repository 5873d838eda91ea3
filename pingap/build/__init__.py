"""From configuration to the runtime graph; the only package that knows all the others."""
