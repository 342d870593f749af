"""Lower bounds on a micro-batch and on the whole step."""
