"""Taking away what a page shows: figures as SVG, tables as CSV."""

from __future__ import annotations

import pandas as pd
import streamlit as st


def toolbar(name: str, zoom: bool = False) -> dict:
    """Plotly's toolbar, which saves the picture as ``name.svg``."""
    return {
        "displaylogo": False,
        "scrollZoom": zoom,
        "toImageButtonOptions": {"format": "svg", "filename": name},
    }


def download(label: str, table: pd.DataFrame, name: str, index: bool = False, key: str | None = None) -> None:
    """A button that gives a table as ``name.csv``."""
    st.download_button(label, table.to_csv(index=index), f"{name}.csv", "text/csv", on_click="ignore", key=key)
