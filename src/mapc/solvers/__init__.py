"""Backends behind one interface, and the portfolio that runs them."""
