"""One self-contained HTML file with interactive figures, for people who have no server."""
