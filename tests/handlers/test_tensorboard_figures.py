import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fetal_monai.handlers import TensorBoardFigures

NAMES = ["Femur", "Head (PPP, Tectum)", "Other"]


class LevelToLogits(torch.nn.Module):
    def forward(self, image):
        return image.mean(dim=(1, 2, 3))[:, None] * torch.tensor([[1.0, 0, -1]]) * 4 + torch.tensor([[0.0, 0.5, 0]])


@pytest.fixture
def events(tmp_path):
    levels, labels = [1.0, 0.0, -1.0, 1.0], [0, 1, 1, 0]
    items = [
        {"image": torch.full((3, 300, 400), level), "label": label, "SOPInstanceUID": str(i)}
        for i, (level, label) in enumerate(zip(levels, labels, strict=True))
    ]
    engine = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=3),
        network=LevelToLogits(),
        val_handlers=[TensorBoardFigures(tmp_path, NAMES, interval=2)],
    )
    for epoch in (1, 2, 3, 4):
        engine.run(epoch)
    return EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()


def test_curves_stand_at_the_trainers_epochs(events):
    assert [(e.step, e.value) for e in events.Scalars("val_recall/Head (PPP, Tectum)")] == [(2, 0.5), (4, 0.5)]
    assert [e.value for e in events.Scalars("val_f1/Femur")] == [1, 1]
    tags = events.Tags()["scalars"]
    assert "val_recall/Other" not in tags  # no image of that class: undefined, so no point is drawn
    assert {f"val_calibration/{name}" for name in ("ece", "classwise_ece", "brier", "nll")} <= set(tags)


def test_pictures_are_written(events):
    assert set(events.Tags()["images"]) == {"val/confusion_matrix", "val/reliability", "val/samples"}
    sheet = imread(io.BytesIO(events.Images("val/samples")[0].encoded_image_string))
    # The first image of class 0 is white, the first of class 1 mid-grey: known levels at known places.
    height, width = sheet.shape[:2]
    assert sheet[int(height * 0.55), width // 8, 0] == pytest.approx(1.0, abs=0.01)
    assert sheet[int(height * 0.55), width * 3 // 8, 0] == pytest.approx(0.5, abs=0.01)
    assert np.isfinite(sheet).all()
