"""Embeddings: one vector a task. The record is NumPy; the computations behind it use torch."""
