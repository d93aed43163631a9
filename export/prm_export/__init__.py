"""Turn a trained classifier into a deployable bundle."""
