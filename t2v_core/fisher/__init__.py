"""The per-filter Fisher diagonal of a frozen network (T2V section 3.1)."""
