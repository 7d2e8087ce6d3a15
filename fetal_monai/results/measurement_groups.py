"""What a structured report says of an image, and of a segment of a clip: measurement groups (TID 1501)."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom import sr
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from fetal_monai.inference.prediction import ModelIdentity, Prediction
from fetal_monai.results.codes import anatomy_codes, plane_code, private_code
from fetal_monai.results.filing import SOFTWARE, image_name
from fetal_monai.study.clip import Segment

_PLANE = ("PLANE", "Fetal ultrasound plane")
_DIGITS = 4
_FRAMES_AT_ONCE = 5000  # an element of VR IS holds 65534 bytes, ten digits and a backslash a frame


def image_group(found: Prediction, header: Dataset) -> sr.MeasurementsAndQualitativeEvaluations:
    """Say what the model found in an image.

    Args:
        found: of a still or of a frame of a clip.
        header: of its instance.

    Returns:
        The group. It refers to the instance and, of a clip, to the frame.
    """
    evaluations = [_plane(found.label)]
    if found.label is None:
        likeliest = private_code("PLANE-LIKELIEST", "Most probable plane, too uncertain to report")
        evaluations.append(sr.QualitativeEvaluation(likeliest, plane_code(found.top)))
    clip = int(header.get("NumberOfFrames") or 1) > 1
    return _group(
        image_name(header, found.frame),
        found.identity,
        header,
        [found.frame] if clip else None,
        plane=found.label,
        measurements=[_certainty(found.confidence)],
        evaluations=evaluations + _doubts(found),
    )


def segment_group(segment: Segment, header: Dataset) -> sr.MeasurementsAndQualitativeEvaluations:
    """Say what a segment of a clip shows.

    Args:
        segment: of the clip.
        header: of its instance.

    Returns:
        The group. It refers to all frames of the segment. The plane and its certainty, a mean, are the segment's; what
        the model says of the key frame alone, which may be less sure, stands beside it.
    """
    key = segment.key_frame
    chosen = sr.Measurement(
        private_code("KEY-FRAME", "Number of the frame that shows the plane best"),
        key.frame + 1,
        codes.UCUM.NoUnits,
        referenced_images=[
            sr.SourceImageForMeasurement(str(header.SOPClassUID), str(header.SOPInstanceUID), [key.frame + 1])
        ],
    )
    times = {
        ("SEGMENT-BEGIN", "Begin of the segment, from the first frame of the clip"): segment.start,
        ("SEGMENT-END", "End of the segment, from the first frame of the clip"): segment.end,
    }
    return _group(
        image_name(header, segment.first, segment.last),
        key.identity,
        header,
        range(segment.first, segment.last + 1),
        plane=segment.plane,
        measurements=[
            _certainty(segment.confidence),
            *(
                sr.Measurement(private_code(*name), round(seconds, _DIGITS), codes.UCUM.Second)
                for name, seconds in times.items()
                if seconds is not None
            ),
            chosen,
        ],
        evaluations=[
            _plane(segment.plane),
            _plane(key.label, ("KEY-FRAME-PLANE", "Fetal ultrasound plane of the key frame by itself")),
            *_doubts(key),
        ],
    )


def planeless_group(header: Dataset, identity: ModelIdentity) -> sr.MeasurementsAndQualitativeEvaluations:
    """Say that a clip was looked at, and shows no plane that the model knows.

    Args:
        header: of its instance.
        identity: of the model.

    Returns:
        The group. It refers to the whole instance.
    """
    none = private_code("NO-PLANE", "No plane that the model knows")
    evaluation = sr.QualitativeEvaluation(private_code(*_PLANE), none)
    return _group(image_name(header), identity, header, None, plane=None, measurements=[], evaluations=[evaluation])


def _plane(name: str | None, concept: tuple[str, str] = _PLANE) -> sr.QualitativeEvaluation:
    value = codes.SCT.Undetermined if name is None else plane_code(name)
    return sr.QualitativeEvaluation(private_code(*concept), value)


def _doubts(found: Prediction) -> list[sr.QualitativeEvaluation]:
    """The conformal set, and whether the image is out of distribution."""
    candidate = private_code("PLANE-CANDIDATE", "Plane in the prediction set")
    evaluations = [sr.QualitativeEvaluation(candidate, plane_code(name)) for name in found.conformal_set or ()]
    if found.out_of_distribution is not None:
        unlike = private_code("OUT-OF-DISTRIB", "Unlike the images that the model was trained on")
        answer = codes.SCT.Yes if found.out_of_distribution else codes.SCT.No
        evaluations.append(sr.QualitativeEvaluation(unlike, answer))
    return evaluations


def _certainty(probability: float) -> sr.Measurement:
    return sr.Measurement(codes.DCM.CertaintyOfFinding, round(100 * probability, _DIGITS), codes.UCUM.Percent)


def _group(
    name: str,
    identity: ModelIdentity,
    header: Dataset,
    frames: Sequence[int] | None,
    *,
    plane: str | None,
    measurements: Sequence[sr.Measurement],
    evaluations: Sequence[sr.QualitativeEvaluation],
) -> sr.MeasurementsAndQualitativeEvaluations:
    numbers = None if frames is None else [frame + 1 for frame in frames]
    parts = (
        [None]
        if numbers is None
        else [numbers[start : start + _FRAMES_AT_ONCE] for start in range(0, len(numbers), _FRAMES_AT_ONCE)]
    )
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(prefix=None), identifier=name),
        algorithm_id=sr.AlgorithmIdentification(
            name=f"{SOFTWARE} {identity.name}",
            version=identity.version,
            parameters=[
                f"weights SHA-256 {identity.weights_sha256}",
                f"preprocessing SHA-256 {identity.preprocessing_sha256}",
                f"{SOFTWARE} {identity.fetal_monai_version}",
                f"engine {identity.engine}",
            ],
        ),
        finding_sites=[sr.FindingSite(code) for code in anatomy_codes(plane or "")] or None,
        measurements=measurements or None,
        qualitative_evaluations=evaluations,
        source_images=[
            sr.SourceImageForMeasurementGroup(str(header.SOPClassUID), str(header.SOPInstanceUID), part)
            for part in parts
        ],
    )
