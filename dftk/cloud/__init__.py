"""Job files for schedulers: one job of an array trains one fold."""
