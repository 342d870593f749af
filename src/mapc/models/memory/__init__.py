"""Order, residency and addresses of tensors in a scratchpad."""
