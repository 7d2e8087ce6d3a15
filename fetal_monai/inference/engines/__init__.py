"""What runs the network of a `Predictor`: PyTorch as it is, OpenVINO or ONNX Runtime; and files for the latter two."""
