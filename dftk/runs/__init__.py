"""A workdir: what is in it, who may write to it, and which of its files are complete."""
