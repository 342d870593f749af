"""What others do: one degree for everything, greedy schedules, published programs."""
