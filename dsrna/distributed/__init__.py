"""Several processes that train one network together, each on its own part of every batch."""
