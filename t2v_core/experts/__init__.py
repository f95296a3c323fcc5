"""Experts: feature extractors fine-tuned on a task, their errors on other tasks, their export."""
