"""Before a run: what it will cost on this machine."""
