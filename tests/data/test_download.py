"""Downloads from a faulty local server, and the script tools/download_nih.py."""

import hashlib
import importlib.util
import io
import shutil
import socket
import tarfile
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

from chexnet.data.download import NIH, Source, fetch, fetching, read_sources
from chexnet.errors import InputError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture(autouse=True)
def _without_delay(monkeypatch):
    monkeypatch.setattr(fetching, "RETRY_DELAY", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def fetched(web, tmp_path):
    """Fetch the file from the server, and return its path, the log and the progress calls."""
    web.files["/a.tar.gz"] = CONTENT

    def run(sha256=None):
        lines, progress = [], []
        source = Source(f"{web.url}/a.tar.gz", "a.tar.gz", sha256)
        path = fetch(source, tmp_path, lambda *numbers: progress.append(numbers), lines.append)
        return path, lines, progress

    return run


def assert_alone(path):
    """Check that the file is complete and the only one in its folder."""
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["a.tar.gz"]


def test_a_file_is_fetched_once(web, fetched):
    path, lines, progress = fetched(hashlib.sha256(CONTENT).hexdigest())
    assert_alone(path)
    assert not lines
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    fetched()
    assert web.asked == [None]


def test_a_cut_connection_is_resumed(web, fetched):
    web.cut_after = [1_000_000, 500_000]
    path, lines, progress = fetched(hashlib.sha256(CONTENT).hexdigest())
    assert_alone(path)
    assert web.asked == [None, "bytes=1000000-", "bytes=1500000-"]
    assert lines[0].startswith("a.tar.gz: ")
    assert "1,000,000 bytes" in lines[0]
    assert progress[-1] == (len(CONTENT), len(CONTENT))


def test_a_redirected_download_is_resumed(web, fetched):
    web.cut_after, web.moved = [1_000_000], {"/a.tar.gz": "/elsewhere"}
    web.files["/elsewhere"] = CONTENT
    assert_alone(fetched(hashlib.sha256(CONTENT).hexdigest())[0])
    assert web.asked == [None, "bytes=1000000-"]


def test_a_download_from_a_server_without_ranges_starts_again(web, fetched):
    web.cut_after, web.ranges = [1_000_000], False
    assert_alone(fetched(hashlib.sha256(CONTENT).hexdigest())[0])
    assert web.asked == [None, "bytes=1000000-"]


def test_the_next_call_resumes_a_part(web, fetched, tmp_path, monkeypatch):
    web.cut_after = [1_000_000] + [0] * fetching.MAX_ATTEMPTS
    with pytest.raises(InputError, match=r"a\.tar\.gz: .* 1,000,000 bytes .* 5 attempts"):
        fetched()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tar.gz.part", "a.tar.gz.part.json"]
    web.asked.clear()
    assert_alone(fetched(hashlib.sha256(CONTENT).hexdigest())[0])
    assert web.asked == ["bytes=1000000-"]


@pytest.mark.parametrize("change", ["file", "url", "record"])
def test_a_part_of_another_file_is_not_resumed(web, fetched, tmp_path, change):
    (tmp_path / "a.tar.gz.part").write_bytes(b"something else")
    url = f"{web.url}/{'b' if change == 'url' else 'a'}.tar.gz"
    record = (
        "damaged"
        if change == "record"
        else f'{{"url": "{url}", "validator": "\\"{"two" if change == "file" else "one"}\\""}}'
    )
    (tmp_path / "a.tar.gz.part.json").write_text(record)
    assert_alone(fetched()[0])
    assert web.asked == ["bytes=14-" if change == "file" else None]


def test_a_complete_part_is_renamed_and_a_longer_one_is_fetched_again(web, fetched, tmp_path):
    web.etag = None
    for part, asked in ((CONTENT, 1), (CONTENT + b"more", 2)):
        web.asked.clear()
        (tmp_path / "a.tar.gz").unlink(missing_ok=True)
        (tmp_path / "a.tar.gz.part").write_bytes(part)
        (tmp_path / "a.tar.gz.part.json").write_text(f'{{"url": "{web.url}/a.tar.gz"}}')
        assert_alone(fetched()[0])
        assert len(web.asked) == asked


def test_a_response_with_another_range_is_discarded(web, fetched):
    web.cut_after, web.lies_of_range = [1_000_000], True
    path, lines, _ = fetched()
    assert_alone(path)
    assert "another range than from byte 1,000,000" in lines[1]


def test_a_wrong_checksum_is_refused_and_removed(web, fetched, tmp_path):
    with pytest.raises(InputError, match=r"a\.tar\.gz\.part: .* [0-9a-f]{64}, expected 0{64}; it was removed"):
        fetched("0" * 64)
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.tar.gz").write_bytes(b"older")
    with pytest.raises(InputError, match=r"a\.tar\.gz: .* [0-9a-f]{64}, expected 0{64}; remove it"):
        fetched("0" * 64)
    assert (tmp_path / "a.tar.gz").read_bytes() == b"older"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_permanent_error_is_not_retried(web, fetched, status):
    web.status["/a.tar.gz"] = status
    with pytest.raises(InputError, match=rf"/a\.tar\.gz: .* {status} "):
        fetched()
    assert len(web.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_temporary_error_is_retried(web, fetched, status):
    web.status["/a.tar.gz"] = status
    with pytest.raises(InputError, match=rf"a\.tar\.gz: .* {status} .* 0 bytes .* 5 attempts"):
        fetched()
    assert len(web.asked) == fetching.MAX_ATTEMPTS


def test_a_web_page_is_refused(web, fetched, tmp_path):
    web.content_type = "text/html; charset=utf-8"
    with pytest.raises(InputError, match=r"/a\.tar\.gz: is a web page"):
        fetched()
    assert not list(tmp_path.iterdir())


def test_a_refused_connection_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"a\.tar\.gz: .*refused.*5 attempts"):
        fetch(Source("http://127.0.0.1:1/a", "a.tar.gz"), tmp_path, lambda *_: None, lambda _: None)


def test_a_full_disk_is_not_retried(web, fetched, tmp_path):
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a\.tar\.gz\.part: .*File too large"):
            fetched()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_alone(fetched(hashlib.sha256(CONTENT).hexdigest())[0])
    assert web.asked == [None, "bytes=1500000-"]


@pytest.fixture
def respond(tmp_path, monkeypatch):
    """Fetch from a server that sends the same given bytes to every request."""
    monkeypatch.setattr(fetching, "_TIMEOUT", 5.0)
    listening = socket.create_server(("127.0.0.1", 0))

    def run(response: bytes):
        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:  # the test is over
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(response)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/a.tar.gz"
        return fetch(Source(url, "a.tar.gz"), tmp_path, lambda *_: None, lambda _: None)

    yield run
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.mark.parametrize(
    "length", [b"-1", b"-99999999999", b"12abc", b"", b"1e3", "\u0663".encode(), b"9" * 5000, b"0x10"]
)
def test_an_invalid_content_length_is_ignored(respond, length):
    path = respond(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + length + b"\r\n\r\nabc")
    assert path.read_bytes() == b"abc"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes 5-1/0\r\n\r\nabc",
        b"HTTP/1.1 206 OK\r\nContent-Range: \xff\r\n\r\nabc",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://a:b/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
        b"HTTP/1.1 999 \x1b[2J\r\n\r\n",
        b'HTTP/1.1 200\r\nETag: "a\r\n b"\r\nContent-Length: 9\r\n\r\nabc',
        b"HTTP/9.9 x\r\n\r\n",
        b"\0" * 100,
        b"",
    ],
    ids=str,
)
def test_a_malformed_response_is_a_printable_error(respond, response, tmp_path):
    with pytest.raises(InputError) as refused:
        respond(response)
    assert str(refused.value).isprintable()
    assert not (tmp_path / "a.tar.gz").exists()


def test_a_file_larger_than_the_free_space_is_not_fetched(web, fetched, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(InputError, match=r"a\.tar\.gz: 3,000,000 bytes .* 1,000,000 free"):
        fetched()
    assert not (tmp_path / "a.tar.gz").exists()


@pytest.mark.parametrize("validator", ['"a\\r\\n b"', "7", "[]", "null", '"\\ud800"', '"\\u0663"'])
def test_an_invalid_validator_is_not_sent(web, fetched, tmp_path, validator):
    (tmp_path / "a.tar.gz.part").write_bytes(CONTENT[:1000])
    (tmp_path / "a.tar.gz.part.json").write_text(f'{{"url": "{web.url}/a.tar.gz", "validator": {validator}}}')
    assert_alone(fetched()[0])
    # A record with a lone surrogate is not valid JSON, so the source of the part is unknown and it is fetched again.
    assert web.asked == [None if "ud800" in validator else "bytes=1000-"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n\n", r"urls\.txt: no URLs"),
        ("http://a/x.tgz\nfile:///etc/passwd", r"urls\.txt:2: 'file:///etc/passwd'"),
        ("file://localhost/x.tgz", r"urls\.txt:1: 'file://localhost/x\.tgz'"),
        ("http:///x.tgz", r"urls\.txt:1: "),
        ("http://[a/x.tgz", r"urls\.txt:1: "),
        ("http://a/x.tgz 12ab", r"urls\.txt:1: .*'12ab'.* 64"),
        (f"http://a/x.tgz {'a' * 64} more", r"urls\.txt:1: "),
        ("http://a/x.tgz\nhttp://b/x.tgz", r"urls\.txt:2: .*x\.tgz"),
        (b"\xff\xfe", r"urls\.txt: not a text file"),
    ],
)
def test_a_malformed_list_of_urls_is_refused(tmp_path, text, message):
    path = tmp_path / "urls.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_sources(path)


def test_archives_are_named_by_their_urls_or_numbered(tmp_path):
    path = tmp_path / "urls.txt"
    path.write_text(
        f"# mine\nhttps://a/b/x_1.tar.gz?key=1 {'A' * 64}\n\nhttp://a/%2e%2e%2fy.tgz\nhttp://a/.z.tgz\nhttp://a/key\n"
    )
    assert [(source.name, source.sha256) for source in read_sources(path)] == [
        ("x_1.tar.gz", "a" * 64),
        ("y.tgz", None),
        ("images_003.tar.gz", None),
        ("images_004.tar.gz", None),
    ]


def test_nih_has_twelve_archives():
    assert [source.name for source in NIH] == [f"images_{number:03d}.tar.gz" for number in range(1, 13)]
    assert len({source.url for source in NIH}) == 12


def test_the_script_fetches_and_unpacks_and_can_be_repeated(web, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("script_download_nih", ROOT / "tools/download_nih.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for number in (1, 2):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            member = tarfile.TarInfo(f"images/0000000{number}_000.png")
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
        web.files[f"/{number}.tar.gz"] = file.getvalue()
    lines = [f"{web.url}{path} {hashlib.sha256(content).hexdigest()}" for path, content in web.files.items()]
    (tmp_path / "urls.txt").write_text("\n".join(lines))
    for _ in range(2):
        assert script.main(["--urls", str(tmp_path / "urls.txt"), "--output_dir", str(tmp_path / "data")]) == 0
    assert "2.tar.gz: 1 files" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "data" / "images").iterdir()) == [
        "00000001_000.png",
        "00000002_000.png",
    ]
    assert web.asked == [None, None]
    (tmp_path / "data" / "archives" / "2.tar.gz").unlink()
    web.files["/2.tar.gz"] = b"x"
    assert script.main(["--urls", str(tmp_path / "urls.txt"), "--output_dir", str(tmp_path / "data")]) == 2
    assert "its SHA-256 is" in capsys.readouterr().err
