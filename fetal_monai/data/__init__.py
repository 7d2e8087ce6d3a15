"""Annotations, data lists and data sets."""
