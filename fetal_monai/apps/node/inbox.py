"""Objects on disk: as they were received, whole, and synced before their sender is told that they are safe."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import struct
import threading
from pathlib import Path

from fetal_monai.apps.node.disk import sync
from fetal_monai.apps.node.ledger import Ledger
from fetal_monai.apps.node.limits import NodeLimits, Refused, Status
from fetal_monai.apps.node.queue import study_key
from fetal_monai.apps.node.records import Instance
from fetal_monai.apps.node.wording import without_values
from fetal_monai.data.frames import ULTRASOUND_MODALITIES
from fetal_monai.dicom import UltrasoundInstance
from fetal_monai.errors import DicomReadError

OBJECTS, INCOMING, QUARANTINE, SECRET = "objects", "incoming", "quarantine", "secret"
LOG = logging.getLogger(__name__)
_UID = re.compile(r"[0-9.]{1,64}")  # scanners write leading zeros, too


class Inbox:
    """The received objects of a storage folder.

    Below it `incoming/` holds what is being received, `objects/` what is safe, `quarantine/` what was found at a start
    and is neither. `secret` is what studies are named with. All is readable by the node's user alone.

    Args:
        storage: the folder; made if missing.
        ledger: where each object is entered.
        limits: the most that is taken.
    """

    def __init__(self, storage: Path, ledger: Ledger, limits: NodeLimits) -> None:
        self._storage = storage
        self._ledger = ledger
        self._limits = limits
        self._lock = threading.Lock()
        for name in (OBJECTS, INCOMING):
            (storage / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._secret = _secret(storage / SECRET)
        sync(storage)

    @property
    def incoming(self) -> Path:
        """Where objects are written to while they are received."""
        return self._storage / INCOMING

    def take(self, path: Path, sop_class: str, uid: str) -> Instance:
        """Take one received file in. When this returns, it will survive a pulled plug.

        Args:
            path: the file, in `incoming`; it is gone afterwards.
            sop_class: Affected SOP Class UID of the request.
            uid: its Affected SOP Instance UID.

        Returns:
            The object; if the same was here before, that one.

        Raises:
            Refused: with the status to answer.
        """
        try:
            self._limits.check_disk(self._storage)
            self._limits.check_size(path.stat().st_size)
            instance, study_uid = read_instance(path, self._secret)
            found_class, found_uid = instance.sop_class, instance.uid
            if (found_class, found_uid) != (sop_class, uid):
                what = "SOP Instance UID" if found_class == sop_class else "SOP Class UID"
                raise Refused(Status.DOES_NOT_MATCH_SOP_CLASS, f"the data set has another {what} than the request")
            sync(path)
            with self._lock:
                return self._enter(path, instance, study_uid)
        except OSError as error:
            raise Refused(Status.PROCESSING_FAILURE, f"it cannot be written ({error.strerror})") from error
        finally:
            path.unlink(missing_ok=True)

    def _enter(self, path: Path, instance: Instance, study_uid: str) -> Instance:
        known = self._ledger.instance(instance.uid)
        if known is not None:
            if known.digest != instance.digest:
                raise Refused(Status.DUPLICATE_SOP_INSTANCE, "another object of this SOP Instance UID is here")
            self._ledger.count("repeated")
            return known
        study = self._ledger.study(instance.study)
        if study is not None and study.objects >= self._limits.study_objects:
            raise Refused(Status.OUT_OF_RESOURCES, f"the study has {study.objects} objects already")
        target = self._storage / instance.file
        target.parent.mkdir(mode=0o700, exist_ok=True)
        path.replace(target)
        self._sync_names(target)
        self._ledger.add(instance, study_uid)
        return instance

    def _sync_names(self, path: Path) -> None:
        sync(path.parent)
        sync(path.parent.parent)  # each time: who made the study's folder may have died before this

    def reconcile(self) -> None:
        """Make files and queue agree, after whatever ended the last run.

        What was half received goes. A file that the queue does not know was never acknowledged, and is entered if it is
        whole, or else put aside. An object whose file is gone is struck out, so that it can be sent again.
        """
        for leftover in self.incoming.iterdir():
            leftover.unlink()
        known = {instance.file: instance for instance in self._ledger.instances()}
        there = {path.relative_to(self._storage).as_posix(): path for path in (self._storage / OBJECTS).glob("*/*")}
        for file in there.keys() - known.keys():
            self._adopt(file, there[file])
        for file in known.keys() - there.keys():
            LOG.error("the file of object %s is gone: it has to be sent again", known[file].uid)
            self._ledger.lose(known[file])

    def _adopt(self, file: str, path: Path) -> None:
        try:
            instance, study_uid = read_instance(path, self._secret)
        except Refused as refused:
            self._set_aside(path, str(refused))
            return
        if instance.file != file or self._ledger.instance(instance.uid) is not None:
            self._set_aside(path, "its name is not that of its content")
            return
        sync(path)
        self._sync_names(path)
        self._ledger.add(instance, study_uid)
        LOG.warning("object %s was not in the queue: entered", instance.uid)

    def _set_aside(self, path: Path, reason: str) -> None:
        (self._storage / QUARANTINE).mkdir(mode=0o700, exist_ok=True)
        path.replace(self._storage / QUARANTINE / f"{path.parent.name}-{path.name}")
        LOG.warning("a file that no row names was put aside: %s", reason)


def read_instance(path: Path, secret: bytes) -> tuple[Instance, str]:
    """Read what the queue wants to know of a file.

    Args:
        path: a DICOM file.
        secret: of the storage, see `study_key`.

    Returns:
        The object, named where it belongs, and its Study Instance UID.

    Raises:
        Refused: if it cannot be understood, is not whole, is no ultrasound or names no study.
    """
    try:
        with UltrasoundInstance(path) as opened:
            meta = opened.metadata(0)
            whole, syntax = opened.is_whole(), opened.header.transfer_syntax
    except DicomReadError as error:
        raise Refused(Status.CANNOT_UNDERSTAND, without_values(error.cause)) from error
    if not whole:
        raise Refused(Status.CANNOT_UNDERSTAND, "the data set is cut off")
    if meta["Modality"] not in ULTRASOUND_MODALITIES:
        raise Refused(Status.NO_ULTRASOUND, "its Modality is neither US nor IVUS")
    names = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    for name in names:
        if not _UID.fullmatch(meta[name]):
            raise Refused(Status.NO_STUDY, f"its {name} is missing or no UID")
    sop_class, uid, study_uid, _ = (str(meta[name]) for name in names)
    study = study_key(study_uid, meta["patient"], secret)
    file = f"{OBJECTS}/{study}/{hashlib.sha256(uid.encode()).hexdigest()[:32]}.dcm"
    return Instance(uid, study, sop_class, syntax, _digest(path), path.stat().st_size, file), study_uid


def _secret(path: Path) -> bytes:
    """The storage's own, drawn once: without it nobody can find out by trying which patient a study's key is of."""
    if not path.exists():
        fresh = path.with_name(f"{path.name}.new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(32))
        sync(fresh)
        fresh.replace(path)
    return path.read_bytes()


def _digest(path: Path) -> str:
    """SHA-256 of the data set: the file meta in front of it is ours, and names our version."""
    with path.open("rb") as file:
        lead = file.read(144)
        meta = struct.unpack("<L", lead[140:])[0] if lead[128:136] == b"DICM\x02\x00\x00\x00" else -144
        file.seek(144 + meta)
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
