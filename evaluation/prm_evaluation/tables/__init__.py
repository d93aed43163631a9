"""The paper's tables, measured on bundles: one module per table, fed by one pass over the pictures.

A *tally* takes one picture at a time (``update``) and keeps counts, scores and matches, never masks; a
function ``table_N`` turns the tallies of all bundles into rows with the paper's figures beside ours.
"""
