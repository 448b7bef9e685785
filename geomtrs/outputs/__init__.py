"""What a run leaves behind: rasters, vector layers, picture, record and STAC item."""
