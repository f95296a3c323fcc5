"""Tasks: labelled image sets, read safely and lazily. Knows nothing of networks."""
