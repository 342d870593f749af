"""Balance of one row of work, and bounds on the work of a layer."""
