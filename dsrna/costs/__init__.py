"""What operations cost: parameters, multiplications, time."""
