"""What every page shares: its frame, the bank, cached tables. Not a page itself."""
