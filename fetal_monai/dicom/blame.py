"""Whatever goes wrong with a file's bytes becomes the one error that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.limits import Fault
from fetal_monai.errors import DicomReadError


@contextmanager
def blame(path: str, frame: int = STILL) -> Iterator[None]:
    """Turn what is raised inside into an error of a file.

    Args:
        path: the file.
        frame: zero-based frame that is at fault; -1 for none in particular.

    Raises:
        DicomReadError: instead of a `Fault`, an `OSError`, or whatever a parser or decoder gives.

    Example:
        >>> with blame("a.dcm", 3):
        ...     raise Fault("it is cut off", "copy it again")
        Traceback (most recent call last):
        fetal_monai.errors.DicomReadError: a.dcm, frame 3: it is cut off; copy it again
    """
    of = None if frame == STILL else frame
    try:
        yield
    except Fault as fault:
        raise DicomReadError(path, fault.cause, fault.remedy, frame=of) from fault.__cause__
    except OSError as error:
        reason = error.strerror or str(error)
        raise DicomReadError(path, f"it cannot be read: {reason}", "check the path and its rights", frame=of) from error
    except Exception as error:  # parsers and decoders of many hands meet damaged bytes here
        cause = f"it is damaged: {type(error).__name__}: {str(error)[:200]}"
        remedy = "export the file again from the scanner or the archive"
        raise DicomReadError(path, cause, remedy, frame=of) from error
