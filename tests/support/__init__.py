"""What the tests run against: a real proxy process, a scriptable origin, a raw client."""
