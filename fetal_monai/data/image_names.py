"""What a table calls an image: the parts of a path, and the name by which the same image is known everywhere."""

from __future__ import annotations

import re

from fetal_monai.dicom.picture import PICTURE_SUFFIXES

_PICTURE_SUFFIXES = tuple(PICTURE_SUFFIXES)
_UID = re.compile(r"[0-2](\.\d+){3,}")


def names_picture(name: str) -> bool:
    """Whether a name in a table is that of a PNG or JPEG.

    Example:
        >>> names_picture("Femur/1.PNG"), names_picture("1.2.3"), names_picture("1.2.3.dcm")
        (True, False, False)
    """
    return name.lower().endswith(_PICTURE_SUFFIXES)


def path_parts(name: str) -> list[str]:
    """Folders and file, without what tells nothing.

    Example:
        >>> path_parts("./study//IM_0001.dcm")
        ['study', 'IM_0001.dcm']
    """
    return [part for part in name.split("/") if part not in ("", ".")]


def bare(name: str) -> str:
    """A name without the suffix of DICOM.

    Example:
        >>> bare("1.2.3.dcm"), bare("IM_0001.DCM"), bare("IM_0001")
        ('1.2.3', 'IM_0001', 'IM_0001')
    """
    return name[: -len(".dcm")] if name.lower().endswith(".dcm") else name


def image_name(name: str) -> str:
    """The name of an image: its path without the suffix of DICOM, or the UID alone where the file is named by it.

    A UID is that of one image, wherever it lies. Other names are given again in every folder of an export.

    Example:
        >>> image_name("study0/1.2.3.4.dcm"), image_name("./study0/IM_0001.dcm"), image_name("Femur/1.png")
        ('1.2.3.4', 'study0/IM_0001', 'Femur/1.png')
    """
    parts = path_parts(name)
    if not parts or names_picture(name):
        return "/".join(parts)
    *_, file = parts
    return bare(file) if _UID.fullmatch(bare(file)) else bare("/".join(parts))
