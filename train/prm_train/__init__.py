"""Train a classifier with peak stimulation from image-level labels."""
