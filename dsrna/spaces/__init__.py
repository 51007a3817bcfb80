"""Search spaces: primitives, topology, genotypes and their files, supernets and derived networks."""
