"""What a placement problem has to be, and what no plan can do."""
