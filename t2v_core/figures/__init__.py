"""Figures: arrays and labels in, Plotly figures out; one theme."""
