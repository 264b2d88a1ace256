"""The dock for napari; it knows layers and Qt, and reaches torch only in a worker thread."""
