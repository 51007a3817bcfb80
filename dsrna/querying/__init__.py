"""`python -m dsrna.query`: searches that ask tables or proxies for one architecture after the other."""
