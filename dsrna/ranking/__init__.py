"""`python -m dsrna.rank`: architectures ranked by zero-cost proxies, beside the published tables."""
