"""Files in and out: images with axes and pixel size, models as one safetensors file."""
