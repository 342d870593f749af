"""What a group of ranks costs: published models, bandwidths, fits."""
