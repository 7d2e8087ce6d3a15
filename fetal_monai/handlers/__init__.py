"""Ignite handlers that MONAI and ignite lack."""
