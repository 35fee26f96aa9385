"""What a step is made of: which rows share it, how they become tensors, and the loss of those."""
