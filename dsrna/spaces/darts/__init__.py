"""The DARTS search space (Liu, Simonyan, Yang; ICLR 2019): normal and reduction cells, eight operations."""
