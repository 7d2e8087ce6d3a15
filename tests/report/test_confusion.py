import itertools

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

from fetal_monai.metrics.bootstrap import Interval, Intervals
from fetal_monai.report import confusion_figure, write_figure
from fetal_monai.report.curves import interval_figure
from fetal_monai.report.samples import samples_figure

NAMES = [
    "Femur", "Head (PPP, Tectum)", "Head (Cerebellum)", "Head (Sagittal)", "Other", "Stomach", "Bladder (CDC)",
    "Nasal triangle", "Shoulder bone", "Spine", "Kidneys", "Umbilical cord (Anterior abdominal wall)",
    "Placenta (Umbilical cord)", "Slice through three vessels", "Four-chamber heart section", "Cervix",
]  # fmt: skip


def test_rows_are_normalised_and_cells_carry_percentage_and_count():
    figure = confusion_figure([[3, 1, 0], [0, 0, 0], [2, 0, 2]], ["a", "b", "c"])
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 0], [0.5, 0, 0.5]])
    texts = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "75%\n3", (1, 0): "25%\n1", (0, 2): "50%\n2", (2, 2): "50%\n2"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a\n(n = 4)", "b\n(n = 0)", "c\n(n = 4)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]


def test_sixteen_long_names_neither_overlap_nor_leave_the_picture(tmp_path):
    figure = confusion_figure(np.random.default_rng(0).integers(0, 30, (16, 16)) + np.eye(16, dtype=int) * 200, NAMES)
    write_figure(figure, tmp_path / "confusion_matrix.png")
    renderer = figure.canvas.get_renderer()
    frame = figure.bbox
    axes = figure.axes[0]
    boxes = [label.get_window_extent(renderer) for label in axes.get_yticklabels()]
    assert all(not a.overlaps(b) for a, b in itertools.pairwise(boxes))
    for text in [*axes.get_yticklabels(), *axes.get_xticklabels(), axes.title]:
        box = text.get_window_extent(renderer)
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1
    cell = axes.transData.transform([[0, 0], [1, 1]])
    widest = max(text.get_window_extent(renderer).width for text in axes.texts)
    assert widest < abs(cell[1, 0] - cell[0, 0])
    assert (tmp_path / "confusion_matrix.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", [r"a $\foo$", "for $5 or $6", r"\$x$"])
def test_a_name_is_no_formula(tmp_path, name):
    figures = {
        "confusion": confusion_figure([[1, 0], [1, 2]], [name, "b"]),
        "samples": samples_figure([np.zeros((8, 8, 3), np.uint8)] * 2, [(name, "b", 0.8), ("b", name, 0.8)]),
        "intervals": interval_figure(Intervals({}, {"f1": {name: Interval(0.5, 0.4, 0.6)}}, None, 1, 0.95), "f1", "F1"),
    }
    for kind, figure in figures.items():
        write_figure(figure, tmp_path / f"{kind}.png")
        texts = [text.get_text() for text in figure.findobj(Text) if "b" not in text.get_text()]
        assert not any(is_math_text(text) for text in texts)


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(ValueError, match="3 classes is 3 x 3"):
        confusion_figure(np.eye(2), ["a", "b", "c"])
