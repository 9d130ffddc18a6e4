"""Text and CSV files as other programs write them."""

import codecs
import csv
import gzip
import io
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet import cli
from chexnet.errors import InputError, InputWarning
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import read_text, shorten, shorten_all

CHINESE = "文件,肺水肿\n患者甲.png,1\n"
WESTERN = "Größe,Œdème,café\nmüller.png,1,0\nJosé.png,0,1\n"


def read_without_warning(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_text(path, "file")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", [CHINESE, WESTERN], ids=["Chinese", "Western"])
def test_text_with_a_known_encoding_is_read_without_a_warning(tmp_path, text, encoding):
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert read_without_warning(tmp_path / "a.csv") == text


def test_big_endian_utf_16_is_read(tmp_path):
    (tmp_path / "a.csv").write_bytes(codecs.BOM_UTF16_BE + CHINESE.encode("utf-16-be"))
    assert read_without_warning(tmp_path / "a.csv") == CHINESE


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        (CHINESE, "gbk", "GB18030"),
        ("文件,Edema\n000.png,0\n", "gbk", "GB18030"),
        ("檔案,浮腫\n張.png,1\n文件.png,0\n", "gb18030", "GB18030"),
        (WESTERN, "cp1252", "Windows-1252"),
        ("São,é\nÄÖÜ.png,ß\n", "latin-1", "Windows-1252"),
    ],
)
def test_another_encoding_is_guessed_and_named_once(tmp_path, text, encoding, expected):
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    with pytest.warns(InputWarning, match=f"a.csv: .*UTF-8 .*{expected}") as caught:
        assert read_text(tmp_path / "a.csv", "file") == text
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "a.csv: is a zip file"),
        (b"\xd0\xcf\x11\xe0\xa1", "a.csv: is an Excel workbook"),
        (gzip.compress(b"a,b"), r"a.csv: .*gzip.*\.gz"),
        (b"<!DOCTYPE html><html>", "a.csv: is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a.csv: .*Git LFS"),
        ("a,b\n".encode("utf-16-le"), "a.csv: not a text file .character 2 is NUL"),
        (codecs.BOM_UTF16_LE + b"a", "a.csv: .*UTF-16 .*byte 2"),
        (b"\xff\x00\x01", "a.csv: not a text file"),
        (b"a\x81\x01b", "a.csv: not a text file"),
    ],
)
def test_other_kinds_of_files_are_refused_by_name(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_text(tmp_path / "a.csv", "file")


def test_a_warning_is_one_printable_line(tmp_path, capsys):
    path = tmp_path / "a\x1b[31m\n.csv"
    path.write_bytes("文件,b\n".encode("gbk"))
    parser = cli.Parser("A script.")
    assert cli.run(parser, lambda args: [read_text(path, "file") for _ in range(2)] and None, []) == 0
    error = capsys.readouterr().err
    assert error.startswith("warning: ")
    assert error.count("\n") == 1
    assert "\x1b" not in error


def test_too_large_a_text_is_refused_also_if_it_is_compressed(tmp_path):
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(b"a.png 0\n" * 2**18))
    with pytest.raises(InputError, match=r"bomb\.txt\.gz: .*1 MiB, expected a list file"):
        read_text(tmp_path / "bomb.txt.gz", "list file", 2**20)
    (tmp_path / "long.txt").write_bytes(b"a" * (2**20 + 1))
    with pytest.raises(InputError, match=r"long\.txt: .*1 MiB"):
        read_text(tmp_path / "long.txt", "list file", 2**20)
    (tmp_path / "just.txt.gz").write_bytes(gzip.compress(b"a" * 2**20))
    assert len(read_text(tmp_path / "just.txt.gz", "list file", 2**20)) == 2**20


def test_line_ends_are_unified(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\rc\n")
    assert read_text(tmp_path / "a.txt", "file") == "a\nb\nc\n"


@pytest.mark.parametrize("text", ["a", "0" * 10**6, "\x00" * 1000, "\ud800" * 1000])
def test_shortened_texts_are_bounded(text):
    assert len(shorten(text)) < 500  # each character may be written as an escape
    assert len(shorten_all([text] * 50)) < 20 * 70


CELL = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_every_separator_is_recognized(tmp_path_factory, rows, delimiter, end):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([("image", "Edema", "patient"), *rows])
    path.write_bytes(text.getvalue().encode())
    table = CsvFile(path, "file")
    assert [tuple(cells) for _, cells in table.rows([0, 1, 2])] == rows


@pytest.mark.parametrize(
    "text",
    [
        "image,Edema\na.png,1\n",
        "sep=;\nimage;Edema\na.png;1\n",
        '"sep=;"\r\nimage;Edema\r\na.png;1\r\n',
        ",image,Edema\n0,a.png,1\n",  # pandas' and Excel's index
        "Unnamed: 0,image,Edema\n0,a.png,1\n",
        "image,Edema,,,\na.png,1,,,\n,,,,\n",
        " Image , EDEMA \n a.png , 1 \n",
        '"image","Edema"\n"a.png","1"\n',
        "image\tEdema\tnotes, more\na.png\t1\tx,y\n",
    ],
)
def test_headers_of_spreadsheets_are_read(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    table = CsvFile(tmp_path / "a.csv", "file")
    assert [cells for _, cells in table.rows([table.find("image"), table.find("Edema")])] == [["a.png", "1"]]


def test_an_error_gives_the_line_in_the_file(tmp_path):
    (tmp_path / "a.csv").write_text('sep=;\nimage;x\na;"one\ntwo"\nb;2;3\n')
    table = CsvFile(tmp_path / "a.csv", "file")
    with pytest.raises(InputError, match=r"a\.csv:5: 3 columns, expected 2 as in the header"):
        list(table.rows([0]))


def test_duplicate_and_missing_columns_are_refused_when_they_are_requested(tmp_path):
    (tmp_path / "a.csv").write_text("image,Edema,edema,x,x\na,1,0,2,3\n")
    table = CsvFile(tmp_path / "a.csv", "file")
    assert (table.find("Edema"), table.find("edema")) == (1, 2)
    for column, count in (("EDEMA", 2), ("x", 2), ("y", 0)):
        with pytest.raises(InputError, match=rf"a\.csv:1: {count} columns '{column}', expected one"):
            table.find(column)


def test_a_huge_cell_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(f"image,x\na,{'0' * 10**6}\n")
    with pytest.raises(InputError, match=r"a\.csv:2: not a CSV file: a cell of more than 131,072 characters"):
        list(CsvFile(tmp_path / "a.csv", "file").rows([0]))
