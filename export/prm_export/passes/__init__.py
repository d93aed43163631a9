"""ONNX-to-ONNX passes: each a small function on an ``onnx_ir`` model; ``pipeline`` runs them in order."""
