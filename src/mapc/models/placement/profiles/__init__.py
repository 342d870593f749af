"""One placement for many profiles, with equal or adapting splits."""
