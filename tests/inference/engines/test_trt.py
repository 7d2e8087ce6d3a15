"""inference_trt.yaml: here for its meaning without TensorRT, which no CPU has."""

from __future__ import annotations

import torch
from monai.bundle import ConfigParser

from fetal_monai.model.folder import load_model


def test_the_models_network_is_compiled_and_not_replaced(root, evaluated_model, phantom):
    parser = ConfigParser()
    parser.read_config([str(root / f"bundle/configs/{name}.yaml") for name in ("inference", "inference_trt")])
    parser["ckpt_dir"], parser["dataset_dir"], parser["device"] = str(evaluated_model), str(phantom), "cpu"
    handlers = parser["handlers"]
    assert [handler["_target_"].rpartition(".")[2] for handler in handlers if handler.get("_disabled_")] == [
        "ModelLoader"
    ]
    assert parser.get_parsed_content("trt_args")["dynamic_batchsize"] == [1, 4, 4]
    network = parser.get_parsed_content("evaluator#network")
    state = load_model(evaluated_model)[0].state_dict()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not network.training
    backbones = [getattr(network, name) for name in parser.get_parsed_content("backbones")]
    assert sum(p.numel() for part in backbones for p in part.parameters()) > 0.9 * sum(map(torch.numel, state.values()))
