"""The science: J-invariant training and prediction on torch and numpy. No Qt, no napari."""
