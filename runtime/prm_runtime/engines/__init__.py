"""TensorRT engines: built on the device from a bundle's graphs, kept per user, never shared."""
