"""Circuit breakers, and what they observe."""
