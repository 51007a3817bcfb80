"""Building blocks of networks: operations, mixed operation, cells, normalisation, BatchNorm modes."""
