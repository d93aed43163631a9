"""Segment proposals and the retrieval of instance masks from them."""
