"""What every room above may use: whole files or none, objects that can be rebuilt, the view that two rooms share."""
