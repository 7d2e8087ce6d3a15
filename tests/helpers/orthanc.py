"""Orthanc, an archive that we did not write, on this machine alone."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


def configure(folder: Path, **more: Any) -> tuple[Path, str]:
    """Write a configuration with a free port into a folder.

    Args:
        folder: for the configuration and all that is stored.
        **more: further settings.

    Returns:
        The file, and the URL that the server will have.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "StorageDirectory": str(folder / "store"),
        "IndexDirectory": str(folder / "store"),
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps({**settings, **more}))
    return path, f"http://127.0.0.1:{port}"
