"""Taking away a table that a page shows."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st


def download(
    label: str,
    table: pd.DataFrame | Callable[[], pd.DataFrame],
    name: str,
    index: bool = False,
    key: str | None = None,
) -> None:
    """A button that gives a table as ``name.csv``; it is written, and where need be made, when it is asked for."""

    def written() -> str:
        return (table() if callable(table) else table).to_csv(index=index)

    st.download_button(label, written, f"{name}.csv", "text/csv", on_click="ignore", key=key)
