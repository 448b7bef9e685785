"""The audit desk: people look at triplets and at the polygons of a run, and their decisions are kept."""
