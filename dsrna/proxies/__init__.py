"""Zero-cost proxies: numbers of an untrained network that are meant to rank architectures without training."""
