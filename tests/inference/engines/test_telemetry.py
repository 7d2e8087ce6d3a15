"""Nothing is reported from where images are classified."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SESSION = """
import fetal_monai, onnx, onnxruntime
from onnx import TensorProto, helper

ports = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])] for name in "xy"]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", *ports)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print(session.get_inputs()[0].name)
"""


def test_onnx_runtime_keeps_no_identifier_and_no_queue_of_events(tmp_path):
    pytest.importorskip("onnxruntime", reason="fetal_monai[engines] is not installed")
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", SESSION], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "x", done.stderr
    assert [str(path) for path in tmp_path.rglob("*") if "onnxruntime" in str(path).lower()] == []
