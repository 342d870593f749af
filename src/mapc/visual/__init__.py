"""Pictures of plans: figures, and what draws them for browsers, papers and terminals."""
