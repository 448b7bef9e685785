"""Parts of MTRefSeg-R1, pure PyTorch: tensors in, tensors out; no paths, no geography."""
