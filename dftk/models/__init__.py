"""A uint8 image in, a probability of fake out."""
