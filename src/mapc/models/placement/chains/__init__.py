"""Tokens that stay where their expert is, without replicas: exact and near it."""
