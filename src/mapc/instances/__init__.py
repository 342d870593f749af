"""Reading and writing problems and plans."""
