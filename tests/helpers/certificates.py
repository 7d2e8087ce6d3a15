"""An authority of our own, and what it signs: by openssl, for servers and clients on loopback."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """PEM files.

    Args:
        ca: of the authority.
        server: certificate and key, for 127.0.0.1.
        other: certificate and key of a server of another name.
        client: certificate of a client.
        client_key: its key.
        both: of the two, in one file.
    """

    ca: Path
    server: Path
    other: Path
    client: Path
    client_key: Path
    both: Path


def make_certificates(folder: Path) -> Certificates:
    """Make an authority, a server's and a client's certificate.

    Args:
        folder: for the files.

    Returns:
        Where they are.
    """

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes")
    authority = ("-x509", "-days", "2", "-subj", "/CN=Test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(*new, *authority, "-keyout", "ca.key", "-out", "ca.pem")
    for name, place in (("server", "IP:127.0.0.1"), ("other", "DNS:pacs.example"), ("client", "DNS:reader")):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName={place}\n")
        signed = ("x509", "-req", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
        openssl(*signed, "-in", f"{name}.csr", "-extfile", f"{name}.ext", "-out", f"{name}.crt")
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())
    files = ("ca.pem", "server.pem", "other.pem", "client.crt", "client.key", "client.pem")
    return Certificates(*(folder / name for name in files))
