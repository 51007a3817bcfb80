"""The edges of a supernet's cell: their mixed operations, module by module or many at once."""
