"""Image files in, what each holds and what is wrong with it out."""
