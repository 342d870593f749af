"""Nodes, links and where tokens live: searches, bounds, and what they cost each other."""
