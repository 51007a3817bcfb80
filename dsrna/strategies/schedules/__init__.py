"""What changes a search while it runs: stops it, drops operations, freezes or replaces parts of the supernet."""
