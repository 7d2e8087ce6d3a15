"""A trained model on disk: the folder, the records in it, and the model that comes with the package."""
