"""Names that are the same for one secret, differ for another, and are valid."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID, JPEGBaseline8Bit, UltrasoundImageStorage

from fetal_monai.deidentify.pseudonyms import Pseudonyms, read_key
from fetal_monai.errors import InputError

SECRETS = st.binary(min_size=16, max_size=64)
UIDS = st.lists(st.integers(0, 10**9), min_size=2, max_size=5).map(lambda parts: "1.3." + ".".join(map(str, parts)))


@given(SECRETS, st.lists(UIDS, min_size=2, max_size=20, unique=True))
def test_uids_are_mapped_one_to_one_and_the_same_in_every_run(secret, uids):
    first, second = Pseudonyms(secret), Pseudonyms(secret)
    new = [first.uid(uid) for uid in uids]
    assert new == [second.uid(uid) for uid in reversed(uids)][::-1]
    assert len(set(new)) == len(uids)
    assert not set(new) & set(uids)
    assert all(UID(uid).is_valid and len(uid) <= 64 and uid.startswith("2.25.") for uid in new)


@given(SECRETS, SECRETS, UIDS, st.text(min_size=1))
def test_another_secret_gives_other_names(one, other, uid, patient):
    if one != other:
        assert Pseudonyms(one).uid(uid) != Pseudonyms(other).uid(uid)
        assert Pseudonyms(one).patient(patient) != Pseudonyms(other).patient(patient)


@given(SECRETS, st.text(alphabet="AZ09-", min_size=1))
def test_blanks_around_a_patient_id_do_not_count(secret, patient):
    names = Pseudonyms(secret)
    assert names.patient(f" {patient}  ") == names.patient(patient)
    assert -3650 <= names.days(patient) <= -1


def test_dicoms_own_uids_stay():
    names = Pseudonyms()
    assert [names.uid(uid) for uid in (UltrasoundImageStorage, JPEGBaseline8Bit)] == [
        UltrasoundImageStorage,
        JPEGBaseline8Bit,
    ]
    assert not names.given


@pytest.mark.parametrize("old", ["1.2.840.10008.7.7.7", "1.2.840.10008.5.1.4.1.1.6.1/../../x", "../x", "1.2.3\\4"])
def test_what_only_looks_like_dicoms_own_is_replaced(old):
    assert Pseudonyms().uid(old).startswith("2.25.")


def test_a_key_is_made_for_its_owner_alone_and_read_again(tmp_path):
    made, new = read_key(tmp_path / "keys" / "key")
    again, still_new = read_key(tmp_path / "keys" / "key")
    assert (made, new, still_new) == (again, True, False)
    assert stat.S_IMODE((tmp_path / "keys" / "key").stat().st_mode) == 0o600


def test_a_short_key_is_refused(tmp_path):
    (tmp_path / "key").write_text("password\n")
    with pytest.raises(InputError, match="fewer than 16 bytes"):
        read_key(tmp_path / "key")
    with pytest.raises(ValueError, match="can be guessed"):
        Pseudonyms(b"password")
