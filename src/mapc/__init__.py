"""mapc."""
