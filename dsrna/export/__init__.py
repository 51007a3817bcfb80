"""Networks and robustness properties in the formats of other verifiers: ONNX and VNN-LIB."""
