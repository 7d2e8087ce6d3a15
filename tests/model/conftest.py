"""Images for models to look at."""

from __future__ import annotations

import pytest

from fetal_monai.dicom import index_dicom


@pytest.fixture(scope="module")
def stills(phantom) -> list[str]:
    """Paths of twelve stills."""
    return [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1][:12]
