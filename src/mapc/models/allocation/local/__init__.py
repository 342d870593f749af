"""Addresses by local search, for thousands of buffers in little more memory than their load."""
