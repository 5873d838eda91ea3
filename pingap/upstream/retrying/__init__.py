"""Whether a failed attempt is repeated, and the budget for that."""
