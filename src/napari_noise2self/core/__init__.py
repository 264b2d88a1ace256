"""The science: J-invariant training and prediction on torch and numpy; no Qt, no napari, no files."""
