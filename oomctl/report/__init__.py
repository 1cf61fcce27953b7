"""Renderers: one result, several forms."""
