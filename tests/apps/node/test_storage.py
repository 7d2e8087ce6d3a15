"""What is on a node's disk: files and queue agree, whatever happened before, and are nobody else's."""

from __future__ import annotations

import stat

from node_peers import send_raw, start, still, studies

__all__ = ["start"]


def test_files_and_queue_agree_again_at_a_start(start, tmp_path):
    node = start()
    paths = [still(tmp_path / f"{k}.dcm", k) for k in range(3)]
    assert send_raw(node.port, *paths) == [0, 0, 0]
    kept = node.files()
    node.close()
    kept[0].unlink()  # a row without a file
    kept[1].with_name("0" * 32 + ".dcm").write_bytes(kept[1].read_bytes())  # a file under another's name
    whole = kept[2].read_bytes()
    kept[2].with_name("1" * 32 + ".dcm").write_bytes(whole[:700])  # half of one
    (node.storage / "incoming" / "tmp1.dcm").write_bytes(whole)
    again = start()
    assert studies(again) == [("1.2.3", "receiving", 2)]
    assert [path.name for path in again.files()] == [kept[1].name, kept[2].name]
    assert again.incoming() == []
    assert len(list((again.storage / "quarantine").iterdir())) == 2
    assert send_raw(again.port, *paths) == [0, 0, 0]
    assert len(again.files()) == 3
    again.close()
    for name in again.storage.glob("queue.sqlite*"):
        name.unlink()  # all rows: files without one are entered anew
    third = start()
    assert studies(third) == [("1.2.3", "receiving", 3)]


def test_names_are_on_the_disk_before_the_row_is(start, tmp_path, monkeypatch):
    node = start()
    path, synced, add = still(tmp_path / "a.dcm", 1), [], node.ledger.add
    monkeypatch.setattr("fetal_monai.apps.node.inbox.sync", synced.append)
    monkeypatch.setattr(node.ledger, "add", lambda *entry: (synced.append("row"), add(*entry)))
    assert send_raw(node.port, path) == [0]
    objects, (kept,) = node.storage / "objects", node.files()
    assert synced[1:] == [kept.parent, objects, "row"]
    synced.clear()
    assert send_raw(node.port, still(tmp_path / "b.dcm", 2)) == [0]
    assert synced[1:] == [kept.parent, objects, "row"], "who made the study's folder may not have lived to sync it"
    node.close()
    for name in node.storage.glob("queue.sqlite*"):
        name.unlink()
    synced.clear()
    start()
    assert synced[0] == node.storage
    assert synced.count(kept.parent) == 2


def test_what_names_studies_is_the_node_s_alone(start):
    node = start()
    for path in node.storage.glob("queue.sqlite*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
