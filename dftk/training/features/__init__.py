"""Images and a frozen base in, what the head sees of them out."""
