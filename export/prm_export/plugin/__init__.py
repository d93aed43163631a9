"""PeakFind as one GPU kernel, and as a TensorRT plugin around it."""
