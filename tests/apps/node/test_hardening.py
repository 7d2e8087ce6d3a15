"""Whoever is not meant to be served, and whoever only wants to keep others from it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from typer.testing import CliRunner

from fetal_monai.apps.node.destinations import Unreachable, parse_destination
from fetal_monai.apps.node.disk import StorageLock
from fetal_monai.apps.node.limits import NodeLimits
from fetal_monai.apps.node.node import GRACE_S, NodeSettings, running
from fetal_monai.apps.node.porch import hang_up
from fetal_monai.apps.node.server import Receiver
from fetal_monai.apps.node.tls import TlsFiles
from fetal_monai.cli import app
from fetal_monai.errors import InputError
from node_peers import AET, collected, drops_sockets, echoscu, free_port, start, still, storescu

__all__ = ["collected", "start"]

FLOOD = """
import socket, sys, time
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60) for _ in range(1000)]
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.thorough
def test_a_thousand_silent_connections_are_outlasted(start, tmp_path):
    node = start(limits=NodeLimits(reserve_bytes=1, request_seconds=3))
    command = [sys.executable, "-c", FLOOD, str(node.port)]
    before = threading.active_count()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
        try:
            assert flood.stdout.readline() == "open\n"
            threads = threading.active_count()
            assert threads < before + 20, "silent connections have threads"
            assert echoscu(node.port).returncode == 0
            assert storescu(node.port, still(tmp_path / "a.dcm", 1)).returncode == 0
            waiting = node.receiver._server._waiting
            assert len(waiting) <= node.limits.waiting_connections
            end = time.monotonic() + 20
            while waiting and time.monotonic() < end:
                time.sleep(0.1)
            assert not waiting, "they may stay for ever"
        finally:
            flood.stdin.close()
            flood.wait(timeout=30)
    assert len(node.files()) == 1


def test_one_that_begins_and_does_not_go_on_is_closed(start):
    node = start(limits=NodeLimits(reserve_bytes=1, request_seconds=1))
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as peer:
        peer.sendall(b"\x01\x00")
        begin = time.monotonic()
        assert peer.recv(10) == b""
        assert time.monotonic() - begin < 10


@drops_sockets
def test_an_association_that_falls_silent_is_ended(start):
    node = start(limits=NodeLimits(reserve_bytes=1, idle_seconds=1))
    scu = AE("SCANNER")
    scu.add_requested_context("1.2.840.10008.1.1")
    assoc = scu.associate("127.0.0.1", node.port, ae_title=AET)
    assert assoc.is_established
    end = time.monotonic() + 20
    while assoc.is_alive() and time.monotonic() < end:
        time.sleep(0.05)
    assert assoc.is_aborted or assoc.is_released


@drops_sockets
def test_a_message_that_never_ends_is_cut_short(start):
    node = start(limits=NodeLimits(reserve_bytes=1, pdu_bytes=1 << 18))
    scu = AE("SCANNER")
    scu.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    assoc = scu.associate("127.0.0.1", node.port, ae_title=AET, ext_neg=[role])
    assert assoc.is_established
    told = Dataset()
    told.TransactionUID = "1.2.3"
    names = (StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    assert assoc.send_n_event_report(told, 1, *names)[0].Status == 0
    told.EncapsulatedDocument = b"x" * (1 << 21)
    assert "Status" not in assoc.send_n_event_report(told, 1, *names)[0]
    assert echoscu(node.port).returncode == 0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and what it signed for the node and for a scanner; and one that nobody knows."""
    pytest.importorskip("cryptography")
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.now(timezone.utc)

    def make(name, signed_by=None):
        key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer, signer = signed_by or (subject, key)
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        key_usage = x509.KeyUsage(
            **dict.fromkeys(
                (
                    "content_commitment",
                    "key_encipherment",
                    "data_encipherment",
                    "key_agreement",
                    "encipher_only",
                    "decipher_only",
                ),
                False,
            ),
            digital_signature=True,
            key_cert_sign=signed_by is None,
            crl_sign=signed_by is None,
        )
        certificate = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=signed_by is None, path_length=None), critical=True)
            .add_extension(key_usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .add_extension(names, critical=False)
            .sign(signer, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL)
        (folder / f"{name}.key").write_bytes(key.private_bytes(*encoding, serialization.NoEncryption()))
        return subject, key

    authority = make("authority")
    make("node", authority)
    make("scanner", authority)
    make("stranger")
    return folder


def tls_files(folder, **more):
    return TlsFiles(folder / "node.pem", folder / "node.key", **more)


def by_tls(folder, name):
    return ["+tls", folder / f"{name}.key", folder / f"{name}.pem", "+cf", folder / "authority.pem"]


def test_by_tls_dcmtk_stores_and_plain_peers_are_refused(start, certificates, tmp_path):
    limits = NodeLimits(reserve_bytes=1, request_seconds=2)
    node = start(tls=tls_files(certificates).server(), limits=limits)
    path = still(tmp_path / "a.dcm", 1)
    anonymous = ["+tla", "+cf", certificates / "authority.pem"]
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(30)]
    for peer in silent[:10]:
        peer.sendall(b"\x16")  # begins to shake hands, and stops: nobody else waits for it
    assert echoscu(node.port).returncode != 0
    done = storescu(node.port, *anonymous, path)
    assert done.returncode == 0, done.stderr
    assert len(node.files()) == 1
    for peer in silent:
        peer.settimeout(20)
        with peer:
            assert peer.recv(10) == b""
    assert echoscu(node.port, *anonymous).returncode == 0


def test_peers_have_to_show_a_certificate_where_it_is_asked_for(start, certificates, tmp_path):
    node = start(tls=tls_files(certificates, peers=certificates / "authority.pem").server())
    path = still(tmp_path / "a.dcm", 1)
    assert storescu(node.port, "+tla", "+cf", certificates / "authority.pem", path).returncode != 0
    assert storescu(node.port, *by_tls(certificates, "stranger"), path).returncode != 0
    assert node.files() == []
    done = storescu(node.port, *by_tls(certificates, "scanner"), path)
    assert done.returncode == 0, done.stderr
    assert len(node.files()) == 1


@drops_sockets
def test_the_destination_is_verified(start, certificates, tmp_path):
    node = start(tls=tls_files(certificates, peers=certificates / "authority.pem").server())
    path, arrived = still(tmp_path / "a.dcm", 1), []

    def send(tls):
        found = parse_destination(f"dicoms://{AET}@127.0.0.1:{node.port}", "SCU", tls=tls.client)
        found.send([path], lambda *told: arrived.append(told), lambda *told: arrived.append(told))

    send(tls_files(certificates, destination=certificates / "authority.pem"))
    assert arrived == [(path, "its SOP class is not accepted")], "no report, but by TLS"
    for wrong in (tls_files(certificates), tls_files(certificates, destination=certificates / "stranger.pem")):
        with pytest.raises(Unreachable):
            send(wrong)
    with pytest.raises(Unreachable):
        send(TlsFiles(destination=certificates / "authority.pem"))  # shows none of its own


def test_files_that_are_no_certificates_are_named(certificates, tmp_path):
    (tmp_path / "x.pem").write_text("no certificate")
    for files in (
        {"certificate": tmp_path / "x.pem", "key": certificates / "node.key"},
        {"certificate": certificates / "node.pem", "key": certificates / "scanner.key"},
        {"certificate": certificates / "node.pem", "key": tmp_path / "gone.key"},
        {"certificate": certificates / "node.pem", "key": certificates / "node.key", "peers": tmp_path / "x.pem"},
        {"certificate": certificates / "node.pem"},
        {"peers": certificates / "authority.pem"},
    ):
        with pytest.raises(InputError):
            TlsFiles(**files).server()
    with pytest.raises(InputError, match="holds no certificates"):
        TlsFiles(destination=tmp_path / "x.pem").client()


def test_safe_settings_are_the_default(tmp_path):
    assert NodeSettings(tmp_path).host == "127.0.0.1"
    for host in ("0.0.0.0", "::", "10.1.2.3", "node.hospital"):
        with pytest.raises(InputError, match="by --allow"):
            NodeSettings(tmp_path, host=host)
        NodeSettings(tmp_path, host=host, allow=("SCANNER",))
    for wrong in ({"aet": ""}, {"aet": "A" * 17}, {"allow": ("A\\B",)}):
        with pytest.raises(InputError, match="no AE title"):
            NodeSettings(tmp_path, **wrong)


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    done = CliRunner().invoke(app, ["node", "--storage", str(tmp_path)])
    assert done.exit_code == 1
    assert "pip install 'fetal_monai[node]'" in done.output


def test_two_nodes_on_one_storage_folder(tmp_path):
    settings = NodeSettings(tmp_path / "storage", port=free_port())
    with StorageLock(settings.storage):
        with pytest.raises(InputError, match="another node is using it"), running(settings, fatal=print):
            pass
        command = (
            "from pathlib import Path; from fetal_monai.apps.node.disk import StorageLock; StorageLock(Path(r'{}'))"
        )
        done = subprocess.run(
            [sys.executable, "-c", command.format(settings.storage)], check=False, capture_output=True, text=True
        )
        assert "another node is using it" in done.stderr
    with StorageLock(settings.storage):
        pass


def test_associations_have_their_time_before_the_study_in_hand(tmp_path, monkeypatch):
    ended = []

    class Busy:
        def __init__(self, *_, **__):
            pass

        def stop(self):
            ended.append("no other study")

        def close(self):
            ended.append("study")

    end = Receiver.close
    monkeypatch.setattr("fetal_monai.apps.node.node.Worker", Busy)
    monkeypatch.setattr(Receiver, "close", lambda self, grace=0.0: (ended.append(grace), end(self)))
    with running(NodeSettings(tmp_path, port=0), fatal=print):
        pass
    assert ended == ["no other study", GRACE_S, "study", 0.0]


def test_a_connection_that_is_gone_can_be_hung_up():
    with socket.socket() as connection:
        hang_up(connection)


def test_any_client_of_today_s_tls_is_spoken_to(certificates, start):
    node = start(tls=tls_files(certificates).server(), limits=NodeLimits(reserve_bytes=1, request_seconds=1))
    context = ssl.create_default_context(cafile=certificates / "authority.pem")
    plain = socket.create_connection(("127.0.0.1", node.port), timeout=10)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        assert secure.version() in ("TLSv1.2", "TLSv1.3")
