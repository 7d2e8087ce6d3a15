"""Starting the MONAI Label server with the app and the labelling page, for this machine only."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fetal_monai.apps.label.compatibility import prepare_monailabel
from fetal_monai.errors import InputError
from fetal_monai.model.released_model import is_released
from fetal_monai.utils.bundle import bundle_root
from fetal_monai.utils.files import atomic_path
from fetal_monai.utils.ports import listening

HOST = "127.0.0.1"
MAIN_FILE = "main.py"
RECIPE = "configs/recipes/best.yaml"
_MAIN = """# MONAI Label looks for the app here.
from fetal_monai.apps.label.app import FetalPlanesApp
from fetal_monai.console import prepare_console

prepare_console()
"""


def serve(
    studies: str,
    model: Path,
    *,
    workspace: Path | None = None,
    port: int = 8000,
    bundle: Path | None = None,
    overlays: Sequence[Path] | None = None,
) -> None:
    """Start the server on 127.0.0.1 and stay until it is stopped.

    Args:
        studies: a folder with DICOM or PNG files, or the URL of a DICOMweb service.
        model: the model folder to begin with.
        workspace: for model versions, logs and downloads; by default the model folder's name with `-label`, beside it;
            for the released model in the working directory, because an installed package is not written to.
        port: 0 takes a free one.
        bundle: the bundle's folder, for training; None takes the one that comes with the package.
        overlays: config files for training, such as recipes; None takes `recipes/best.yaml`.

    Raises:
        FetalMonaiError: if MONAI Label is not installed, the port is taken, or model or images are unusable.
    """
    prepare_monailabel()
    bundle = bundle or bundle_root()
    home = (workspace or default_workspace(model)).resolve()
    remote = studies.startswith(("http://", "https://"))
    overlays = [bundle / RECIPE] if overlays is None else overlays
    for path in (bundle / "configs/train.yaml", *overlays):
        if not path.is_file():
            raise InputError(path, ["there is no such config file; name the bundle's folder by --bundle"])
    listener = _listen(port)
    with listener:
        conf = {
            "model": str(model.resolve()),
            "bundle": str(bundle.resolve()),
            "overlays": "\n".join(str(path.resolve()) for path in overlays),
        }
        port = listener.getsockname()[1]
        _configure(home, studies if remote else str(Path(studies).resolve()), conf, port)
        _start(listener, port)


def default_workspace(model: Path) -> Path:
    """Choose the workspace of a model.

    Args:
        model: the model folder.

    Returns:
        The folder's name with `-label`: beside it, but for the released model in the working directory.

    Example:
        >>> default_workspace(Path("runs/heads")).as_posix()
        'runs/heads-label'
    """
    return (Path() if is_released(model) else model.parent) / f"{model.resolve().name}-label"


def _listen(port: int) -> socket.socket:
    with listening((HOST, port), "--port"), contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        stack.pop_all()
    return listener


def _configure(home: Path, studies: str, conf: dict[str, str], port: int) -> None:
    """Tell MONAI Label, here and in the processes that train, by its own settings."""
    from monailabel.config import settings  # noqa: PLC0415

    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
        with atomic_path(home / MAIN_FILE) as temporary:
            temporary.write_text(_MAIN, encoding="utf-8")
        logging.basicConfig(
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            handlers=[logging.StreamHandler(), logging.FileHandler(home / "logs/app.log")],
            force=True,
        )
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}; make room or name another --workspace"
        raise InputError(home, [problem]) from error
    values: dict[str, Any] = {
        "MONAI_LABEL_APP_DIR": str(home),
        "MONAI_LABEL_STUDIES": studies,
        "MONAI_LABEL_APP_CONF": conf,
        "MONAI_LABEL_SERVER_PORT": port,
        "MONAI_LABEL_SESSION_PATH": str(home / "sessions"),
    }
    for name, value in values.items():
        setattr(settings, name, value)
        os.environ[name] = value if isinstance(value, str) else json.dumps(value)
    # By default any web site that the annotator visits could read the images. Not for the environment: a training that
    # finds it there fails to print its settings.
    settings.MONAI_LABEL_CORS_ORIGINS = [f"http://{HOST}:{port}"]
    os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")  # MONAI Label reads it when it starts a training


def _start(listener: socket.socket, port: int) -> None:
    import uvicorn  # noqa: PLC0415
    from monailabel.interfaces.utils.app import app_instance  # noqa: PLC0415

    from fetal_monai.apps.label.dataset import add_dataset  # noqa: PLC0415
    from fetal_monai.apps.label.page import add_page  # noqa: PLC0415
    from fetal_monai.console import prepare_console  # noqa: PLC0415

    prepare_console()
    instance = app_instance()  # before the server, so that a mistake is told in one line
    web = importlib.import_module("monailabel.app").app
    add_page(web, port)
    add_dataset(web)
    total = len(instance.datastore().list_images())
    print(f"{total} images. Labelling page: http://{HOST}:{port}/labelling/", flush=True)  # noqa: T201
    config = uvicorn.Config(web, log_level="info", log_config=None, access_log=False)
    with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
        uvicorn.Server(config).run(sockets=[listener])
