"""How the embedded model learns: samples, losses and the two stages (no GDAL: runs on a bare GPU box)."""
