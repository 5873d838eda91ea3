"""Circuit breakers, and the observers of attempts."""
