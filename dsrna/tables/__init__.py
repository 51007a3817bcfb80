"""`python -m dsrna.benchmark`: the published tables analysed, and tables of one's own made."""
