"""How the genotype is chosen at the end of a search, and what it is compared with."""
