"""Pairs to learn from and to try things on: drawn scenes and a real sample. Nothing here reads GDAL."""
