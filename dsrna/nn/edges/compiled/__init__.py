"""The mixed operations of a supernet's cell as compiled code for the CPU."""
