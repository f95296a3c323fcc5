"""The task space: distances between embeddings and pictures of them. No torch."""
