"""Job files for schedulers. Each task of an array job trains one fold."""
