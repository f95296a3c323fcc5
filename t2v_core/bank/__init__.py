"""The bank: everything that lasts (tasks, embeddings, experts, errors, jobs)."""
