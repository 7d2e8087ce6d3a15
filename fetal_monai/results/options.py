"""What a caller may ask of the analysis of studies. Importing this needs neither torch nor MONAI."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from fetal_monai.study.protocol import DEFAULT_PROTOCOL


@dataclass(frozen=True)
class Options:
    """How to look at studies, and what to write of them.

    Args:
        protocol: name of a protocol, or a YAML file; see `load_protocol`.
        every_frame: classify every frame of clips, see `analyse_clip`.
        dicom: write a structured report and key objects per study.
        explain: put explanations (Grad-CAM) of the best frames into the pages; None leaves it to who is asked.
        overwrite: replace earlier results.
    """

    protocol: str | PathLike[str] = DEFAULT_PROTOCOL
    every_frame: bool = False
    dicom: bool = False
    explain: bool | None = None
    overwrite: bool = False
