"""Losses and class weights for imbalanced classes."""
