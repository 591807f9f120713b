"""uint8 image to probability of fake."""
