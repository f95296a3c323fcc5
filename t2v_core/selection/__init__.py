"""Choosing an expert, and measuring how much the choice loses against the best one."""
