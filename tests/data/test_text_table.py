"""One table, however a spreadsheet saved it, reads the same; what cannot be read is called by its name."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data import load_datalists, read_annotations
from fetal_monai.data.text_table import SEPARATORS, read_text_table
from fetal_monai.errors import InputError

COLUMNS = ["SOPInstanceUID", "split", "class", "class_int", "frame", "patient_id"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
# What every one of the encodings has, quotation marks and separators included, but nothing that is stripped.
VALUES = st.text(st.sampled_from("abcXYZ019 ,;|\"'()-.+äöüßé€"), max_size=9).map(str.strip)
ROWS = st.lists(st.lists(VALUES, min_size=6, max_size=6).filter(any), min_size=1, max_size=5)


def saved(rows, separator=",", encoding="utf-8", newline="\n", quoting=csv.QUOTE_MINIMAL, header=COLUMNS) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=newline, quoting=quoting).writerows([header, *rows])
    return text.getvalue().encode(encoding)


def read(raw: bytes) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        path.write_bytes(raw)
        return read_text_table(path, COLUMNS)


@given(
    ROWS,
    st.sampled_from(SEPARATORS),
    st.sampled_from(ENCODINGS),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
    st.permutations(COLUMNS),
)
def test_a_table_reads_the_same_in_every_dialect(rows, separator, encoding, newline, quoting, blanks, order):
    shuffled = [[row[COLUMNS.index(name)] for name in order] for row in rows]
    header = [f" {name}  " if blanks else name for name in order]
    found = read(saved(shuffled, separator, encoding, newline, quoting, header))
    assert found[COLUMNS].to_numpy().tolist() == rows
    assert list(found.index) == list(range(2, len(rows) + 2))


@given(ROWS)
def test_pandas_reads_the_same(rows):
    expected = pd.read_csv(io.BytesIO(saved(rows)), dtype=str, keep_default_na=False, encoding="utf-8")
    pd.testing.assert_frame_equal(read(saved(rows)).reset_index(drop=True), expected, check_dtype=False)


@pytest.mark.parametrize(
    ("raw", "values", "rows"),
    [
        (b"sep=;\r\nclass;split\r\nFemur;val\r\n", [["Femur", "val"]], [3]),
        (b"\n\nclass,split\n\nFemur,val\n,\nOther,test\n", [["Femur", "val"], ["Other", "test"]], [5, 7]),
        (b"class,split,,\nFemur,val,,\n", [["Femur", "val"]], [2]),
        (b"class,split\nFemur\n", [["Femur", ""]], [2]),
        (b'class,split\n"Head\n(PPP)",val\nOther,val\n', [["Head\n(PPP)", "val"], ["Other", "val"]], [2, 3]),
    ],
)
def test_what_spreadsheets_add_is_left_out_and_rows_are_theirs(raw, values, rows):
    found = read(raw)
    assert found.to_numpy().tolist() == values
    assert list(found.index) == rows


def test_columns_of_the_same_name_and_without_one_are_told_apart():
    assert list(read(b"class,note,note,\nFemur,a,b,c\n")) == ["class", "note", "note.1", "Unnamed: 3"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04rest", "this is an Excel or OpenDocument workbook, not a CSV"),
        (b"class,split\0\n", "zero bytes"),
        (b"class,split\nF\x81mur,val\n", "neither UTF-8 nor Windows-1252"),
        (b'class,split\n"Femur,val\n', "quotation mark left open"),
        (b"class,class\nFemur,val\n", "column 'class' stands there twice"),
        (b"class,frame\nFemur,-1\nFemur,12,0\n", "row 3: 3 values for 2 columns; .* write 12, not 12,0"),
        (b"class,frame,split\nFemur\nFemur,12,0,train\n", "(?s)row 3: 4 values for 3 columns.*row 2: 1 of 3 values"),
    ],
)
def test_what_cannot_be_read_is_named(raw, message):
    with pytest.raises(InputError, match=message):
        read(raw)


def test_a_guessed_encoding_is_said(tmp_path, caplog):
    path = tmp_path / "annotations.csv"
    path.write_bytes("class\nSchädel\n".encode("latin-1"))
    assert read_text_table(path, COLUMNS).iloc[0, 0] == "Schädel"
    assert "read as Windows-1252" in caplog.text


def test_a_column_in_other_letters_is_asked_to_be_renamed(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text("SOPInstanceUid;split;class;class_int;frame\n1.2;train;Femur;0;-1\n")
    with pytest.raises(InputError, match="column 'SOPInstanceUID' is missing; rename 'SOPInstanceUid'"):
        read_annotations(path)


@pytest.mark.parametrize(("separator", "encoding"), [(";", "cp1252"), ("\t", "utf-16"), (";", "utf-8-sig")])
def test_a_training_takes_what_a_european_spreadsheet_saved(phantom, class_names, tmp_path, separator, encoding):
    pd.read_csv(phantom / "annotations.csv", dtype=str).to_csv(
        tmp_path / "a.csv", sep=separator, encoding=encoding, index=False, lineterminator="\r\n"
    )
    expected = load_datalists(phantom / "annotations.csv", phantom, class_names)
    assert load_datalists(tmp_path / "a.csv", phantom, class_names) == expected
