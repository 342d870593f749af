"""One number format for every group of a network, within budgets."""
