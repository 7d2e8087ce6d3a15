"""`fetal-monai node`: a DICOM node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fetal_monai.cli.released import RELEASED_BY_DEFAULT, model_folder
from fetal_monai.utils.extras import needing

_MIB = 1 << 20


def node(
    *,
    storage: Annotated[Path, typer.Option(help="The folder for objects, reports and the queue; made if missing.")],
    destination: Annotated[
        str | None,
        typer.Option(
            help="Where reports go: dicom://AET@host:port, dicoms:// for TLS, https://host/dicom-web; by default they "
            "stay in the storage folder."
        ),
    ] = None,
    auth_file: Annotated[
        Path | None,
        typer.Option(
            help="For https: lines `user: ...` and `password: ...`, or `token: ...`. Else the environment counts, "
            "FETAL_MONAI_DICOMWEB_USER and ..._PASSWORD, or ..._TOKEN; else ~/.netrc."
        ),
    ] = None,
    aet: Annotated[str, typer.Option(help="The AE title of the node.")] = "FETAL_MONAI",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 11112,
    allow: Annotated[
        list[str] | None, typer.Option(help="An AE title that may call; repeat it. By default any, on this machine.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help=f"A model folder; {RELEASED_BY_DEFAULT}.")] = None,
    protocol: Annotated[
        str, typer.Option(help="The checklist: isuog_mid_trimester, aium_standard, or a YAML file of your own.")
    ] = "isuog_mid_trimester",
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1; by default CUDA if there is one.")] = None,
    quiet: Annotated[
        float, typer.Option(min=0.1, help="Seconds without a new object until a study counts as complete.")
    ] = 30.0,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM: the node's own; peers must then use TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM: its key.")] = None,
    tls_peers: Annotated[Path | None, typer.Option(help="PEM: peers need a certificate of these authorities.")] = None,
    tls_destination: Annotated[
        Path | None, typer.Option(help="PEM: authorities to trust about the destination; by default the system's.")
    ] = None,
    max_object: Annotated[int, typer.Option(min=1, help="MiB of one object.")] = 1024,
    max_objects: Annotated[int, typer.Option(min=1, help="Objects of one study.")] = 5000,
    max_associations: Annotated[int, typer.Option(min=1, max=200, help="At the same time.")] = 20,
    reserve: Annotated[int, typer.Option(min=0, help="MiB of the disk that stay free.")] = 2048,
    status_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of the status page, such as 8042; by default there is none.")
    ] = None,
    status_host: Annotated[
        str, typer.Option(help="Its address; another one only in a container, whose engine publishes it on 127.0.0.1.")
    ] = "127.0.0.1",
) -> None:
    """Take ultrasound studies by DICOM, report each, and send the reports on.

    Research software: not for diagnosis, treatment or triage. SIGTERM and Ctrl-C end it in order; whatever else ends
    it, what was acknowledged is reported after the next start, once.
    """
    import logging  # noqa: PLC0415

    with needing("node", "the node needs pynetdicom"):
        import pynetdicom  # noqa: F401, PLC0415
    from fetal_monai.apps.node.limits import NodeLimits  # noqa: PLC0415
    from fetal_monai.apps.node.node import NodeSettings, serve  # noqa: PLC0415
    from fetal_monai.apps.node.predicting import ModelSettings  # noqa: PLC0415
    from fetal_monai.apps.node.tls import TlsFiles  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = NodeSettings(
        storage=storage.resolve(),
        host=host,
        port=port,
        aet=aet,
        allow=tuple(allow or ()),
        destination=destination,
        model=ModelSettings(str(model_folder(model).resolve()), protocol, device),
        quiet=quiet,
        limits=NodeLimits(max_object * _MIB, max_objects, max_associations, reserve * _MIB),
        tls=TlsFiles(tls_certificate, tls_key, tls_peers, tls_destination),
        auth_file=auth_file,
        status=None if status_port is None else (status_host, status_port),
    )
    serve(settings)
