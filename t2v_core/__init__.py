"""Task2Vec and its relatives: embed image data sets in a task space and choose experts by distance."""

__version__ = "0.1.0"
