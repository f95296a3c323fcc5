"""Probes: frozen pre-trained networks, each with its own transform and its named, ordered filters."""
