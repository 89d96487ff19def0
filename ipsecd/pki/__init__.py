"""Whom to trust for the certificates they show."""
