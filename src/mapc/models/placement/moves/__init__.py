"""Rules on single experts and ranks, and budgets of moves."""
