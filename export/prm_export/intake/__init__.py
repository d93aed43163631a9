"""From an ONNX classifier that anybody's exporter wrote to the one form that peak back-propagation works on.

Each step is a small function on the model: read it at the size it was made for, fold what that size decides,
bring it to channels-first, write every layer as an operator that has a rule, and turn the head into
convolutions, so that the classifier answers per cell and for every picture size.
"""
