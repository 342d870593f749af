"""Results and problems in words, alike on the terminal and in reports."""
