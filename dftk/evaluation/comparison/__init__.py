"""Two runs or more in, what differs between them out."""
