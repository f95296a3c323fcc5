"""The scores other methods use to choose an expert, one a file: arrays in, one number out. No torch."""
