"""Sound bounds of a network's logits and margins over a ball around each image."""
