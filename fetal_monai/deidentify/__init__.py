"""De-identified copies: headers by the profile of PS3.15, pixels outside the ultrasound regions blanked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetal_monai.utils.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from fetal_monai.deidentify.folder import Outcome, deidentify_folder
    from fetal_monai.deidentify.header import Keep
    from fetal_monai.deidentify.pseudonyms import Pseudonyms

__all__ = ["Keep", "Outcome", "Pseudonyms", "deidentify_folder"]

__getattr__ = lazy_attributes(  # the worker for JPEG starts in no time without them
    __name__,
    {
        "Keep": "fetal_monai.deidentify.header:Keep",
        "Outcome": "fetal_monai.deidentify.folder:Outcome",
        "Pseudonyms": "fetal_monai.deidentify.pseudonyms:Pseudonyms",
        "deidentify_folder": "fetal_monai.deidentify.folder:deidentify_folder",
    },
)
