"""What HTTP decides: pure functions over plain data, without IO and without a clock."""
