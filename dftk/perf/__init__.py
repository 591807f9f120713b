"""How fast, and why not faster."""
