"""Searches that learn of an architecture only what a query tells: its fitness."""
