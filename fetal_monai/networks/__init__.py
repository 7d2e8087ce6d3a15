"""The dual-branch classifier, its backbones and weights."""
