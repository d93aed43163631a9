"""Choosing the retrieval settings of a bundle on a data set with instance masks."""
