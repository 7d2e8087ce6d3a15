"""Tables, figures and reports of an evaluation."""

from fetal_monai.report.confusion import confusion_figure, write_figure

__all__ = ["confusion_figure", "write_figure"]
