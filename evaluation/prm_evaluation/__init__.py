"""Read data sets and measure instance segmentation."""
