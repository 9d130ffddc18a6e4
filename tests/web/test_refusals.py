"""Requests that the server refuses: other hosts and pages, tokens, limits, malformed queries and forms."""

import json
import threading
import time
import zlib

import httpx
import pytest
from api_server import encoded, png_of, running_server

from chexnet.phantom import draw

PNG = {"Content-Type": "image/png"}
TOKEN = "a-token-of-24-characters"
API = ("/v1/model", "/metrics")
PUBLIC = ("/healthz", "/healthz/ready", "/openapi.json")


def problem(response: httpx.Response, status: int) -> dict:
    """Return the problem of a response, which has this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["status"] == status
    assert found["title"]
    assert not any(word in response.text for word in ("Traceback", ".py", "/work", "/tmp"))
    return found


@pytest.mark.parametrize("path", ["/", *API, *PUBLIC, "/nothing", "/v1/predict", "/../gate.py", "/%2e%2e/gate.py"])
def test_every_response_keeps_other_pages_out(client, path):
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert "server" not in headers


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:8000", "localhost.attacker.example", "", "a@localhost"]
)
def test_other_hosts_are_refused(client, host):
    found = problem(client.get("/v1/model", headers={"Host": host}), 403)
    assert found["code"] == "foreign_host"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8000", "localhost."])
def test_the_names_of_this_computer_are_accepted(client, host):
    assert client.get("/v1/model", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_other_pages_are_refused(client, headers):
    response = client.post("/v1/predict", content=png_of(1), headers={**PNG, **headers})
    assert problem(response, 403)["code"] == "cross_origin"


def test_the_own_page_and_links_to_it_are_accepted(client, api):
    own = {"Origin": api.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert client.post("/v1/predict", content=png_of(1), headers={**PNG, **own}).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/healthz", headers=link).status_code == 200


def test_a_preflight_request_of_another_page_allows_nothing(client):
    headers = {"Origin": "http://attacker.example", "Access-Control-Request-Method": "POST"}
    problem(client.options("/v1/predict", headers=headers), 403)


def test_a_token_is_needed_for_the_api_only(api_predictor):
    with running_server(api_predictor, token=TOKEN) as served, httpx.Client(base_url=served.url, timeout=60) as client:
        for path in PUBLIC:
            assert client.get(path).status_code == 200
        wrong = [
            {},
            *({"Authorization": text} for text in ("Bearer", "Bearer x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x")),
        ]
        wrong.append({"Authorization": "Bearer é".encode("latin-1")})
        for headers in wrong:
            for path in API:
                response = client.get(path, headers=headers)
                assert problem(response, 401)["code"] == "unauthorized"
                assert response.headers["WWW-Authenticate"].startswith("Bearer ")
            problem(client.post("/v1/predict", content=png_of(1), headers={**PNG, **headers}), 401)
        problem(client.get("/v1/model", params={"token": TOKEN}), 401)
        right = {"Authorization": f"bearer {TOKEN}"}
        for path in API:
            response = client.get(path, headers=right)
            assert response.status_code == 200
            assert TOKEN not in response.text
        assert client.post("/v1/predict", content=png_of(1), headers={**PNG, **right}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/predict", 405, "OPTIONS, POST"),
        ("DELETE", "/v1/model", 405, "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", 405, "GET, HEAD, OPTIONS"),
        ("BREW", "/v1/predict", 405, "OPTIONS, POST"),
        ("OPTIONS", "/v1/predict", 204, "OPTIONS, POST"),
        ("OPTIONS", "/openapi.json", 204, "GET, HEAD, OPTIONS"),
        ("GET", "/v1/predict/", 404, None),
        ("POST", "/other", 404, None),
        ("OPTIONS", "/other", 404, None),
        ("GET", "//v1/model", 404, None),
    ],
)
def test_methods_and_paths(client, method, path, status, allow):
    response = client.request(method, path)
    assert response.headers.get("Allow") == allow
    if status == 204:
        assert (response.status_code, response.content) == (204, b"")
    else:
        problem(response, status)


@pytest.mark.parametrize("path", [*API, *PUBLIC])
def test_head_is_get_without_a_body(client, path):
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    if path != "/metrics":
        assert head.headers["Content-Length"] == str(len(got.content))


@pytest.mark.parametrize(
    "query",
    ["maps=", "maps=Nothing", "maps=all,all", "maps=Edema,", "gray=1", "gray", "gray=true&gray=true", "map=all", "x"],
)
def test_bad_queries_are_refused(client, query):
    response = client.post(f"/v1/predict?{query}", content=png_of(1), headers=PNG)
    assert problem(response, 400)["code"] == "bad_query"


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/json", "image", "*/*"]
)
def test_other_content_types_are_refused(client, media_type):
    response = client.post("/v1/predict", content=png_of(1), headers={"Content-Type": media_type})
    assert problem(response, 415)["code"] == "unsupported_type"
    assert "multipart/form-data" in response.headers["Accept-Post"]


def test_compressed_bodies_are_refused_and_a_missing_content_type_is_an_image(client):
    problem(client.post("/v1/predict", content=png_of(1), headers={**PNG, "Content-Encoding": "gzip"}), 415)
    assert client.post("/v1/predict", content=png_of(1)).status_code == 200


DISPOSITION = b'Content-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("multipart/form-data", b"--b\r\n" + DISPOSITION + b"x\r\n--b--\r\n"),
        ("multipart/form-data; boundary=", b"--\r\n"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"no form"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + DISPOSITION + b"x\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + DISPOSITION + b"x\r\n--b\r\n" + DISPOSITION + b"cut"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; filename=x\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 9999 + b"\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 500, b"--" + b"b" * 500),
        ("multipart/form-data; boundary=\xe9", b"--b\r\n"),
    ],
)
def test_malformed_forms_are_refused(client, media_type, body):
    headers = {"Content-Type": media_type.encode("latin-1")}
    found = problem(client.post("/v1/predict", content=body, headers=headers), 400)
    assert found["code"] in ("bad_form", "no_image")


def test_fields_that_are_no_files_are_refused(client):
    response = client.post("/v1/predict", data={"maps": "all"}, files={"image": ("a.png", png_of(1))})
    assert problem(response, 400)["code"] == "bad_form"


def test_too_many_images_are_refused(client):
    files = [("image", ("a.png", b"x"))] * 33
    assert problem(client.post("/v1/predict", files=files), 413)["code"] == "too_many_images"


def test_too_many_pixels_are_refused_before_decoding(client):
    """A PNG that declares 40,000 x 40,000 pixels in its header."""
    content = png_of(1)
    header = b"IHDR" + (40_000).to_bytes(4, "big") * 2 + content[24:29]
    bomb = content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]
    assert "pixels" in problem(client.post("/v1/predict", content=bomb, headers=PNG), 422)["detail"]
    narrow = encoded(draw(["Mass"], 64, patient=1).image[:8])
    problem(client.post("/v1/predict", content=narrow, headers=PNG), 422)


def test_a_full_queue_is_refused_before_the_upload(api_predictor, monkeypatch):
    """The network computes the first image until the test releases it."""
    entered, released = threading.Event(), threading.Event()
    original = api_predictor.predict_prepared

    def wait(batch):
        entered.set()
        assert released.wait(60)
        return original(batch)

    monkeypatch.setattr(api_predictor, "predict_prepared", wait)
    with running_server(api_predictor, max_waiting=2) as served, httpx.Client(base_url=served.url) as client:
        answers = []

        def post() -> None:
            answers.append(
                httpx.post(f"{served.url}/v1/predict", content=png_of(1), headers=PNG, timeout=60).status_code
            )

        threads = [threading.Thread(target=post) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert entered.wait(60)
        end = time.monotonic() + 60
        while served.service.waiting < 2 and time.monotonic() < end:
            time.sleep(0.005)
        response = client.post("/v1/predict", content=png_of(2), headers=PNG)
        assert problem(response, 429)["code"] == "queue_full"
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        # The request declares a body that is never sent, and is refused nevertheless.
        request = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        assert served.ask(request).startswith(b"HTTP/1.1 429 ")
        assert problem(client.get("/healthz/ready"), 429)
        assert client.get("/healthz").status_code == 200
        released.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        assert client.get("/healthz/ready").status_code == 200


def test_a_result_that_takes_too_long_is_given_up(api_predictor, monkeypatch):
    released = threading.Event()
    original = api_predictor.predict_prepared

    def wait(batch):
        assert released.wait(60)
        return original(batch)

    monkeypatch.setattr(api_predictor, "predict_prepared", wait)
    with running_server(api_predictor, predict_seconds=0.2) as served:
        response = httpx.post(f"{served.url}/v1/predict", content=png_of(1), headers=PNG, timeout=60)
        assert problem(response, 503)["code"] == "timeout"
        assert "Retry-After" in response.headers
        released.set()


def test_a_fault_of_the_network_shows_no_internals(api_predictor, monkeypatch):
    def fail(batch):
        raise ValueError(f"internal /tmp/secret {len(batch)}")

    monkeypatch.setattr(api_predictor, "predict_prepared", fail)
    with running_server(api_predictor) as served, httpx.Client(base_url=served.url, timeout=60) as client:
        for _ in range(2):  # the thread continues
            response = client.post("/v1/predict", content=png_of(1), headers=PNG)
            assert problem(response, 500)["code"] == "internal_error"
        assert client.get("/healthz").status_code == 200
        assert served.log
        assert all("secret" not in line and "ValueError" in line for line in served.log)


def test_a_fault_of_a_route_shows_no_internals(api_predictor, monkeypatch):
    monkeypatch.setattr("chexnet.web.app.describe_prediction", lambda *_: json.loads("secret {"))
    with running_server(api_predictor) as served:
        response = httpx.post(f"{served.url}/v1/predict", content=png_of(1), headers=PNG, timeout=60)
        assert problem(response, 500)["code"] == "internal_error"
        (line,) = served.log
        assert "JSONDecodeError" in line
        assert "secret" not in line
