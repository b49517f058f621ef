"""Who may ask the server what."""

from dataclasses import replace

import pytest

from blockpool.web.guard import is_loopback

HERE = "http://127.0.0.1:8765"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8765", "localhost:1", "LocalHost", "[::1]:8765", "pools.example", "POOLS.example:80"],
)
def test_own_hosts(client, host):
    """Requests for the loopback addresses and for names that were allowed are answered, with any port."""
    assert client.get("/api/pools", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "evil.example.pools.example",
        "10.0.0.1:8765",
        "169.254.169.254",
        "[::2]",
        "0.0.0.0",  # noqa: S104
        "localhost.",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/pools", "/metrics", "/static/some.js", "/api/openapi.json"])
def test_foreign_hosts(client, host, path):
    """A request for another host is refused, whatever it asks for: its name may have been pointed to this machine."""
    answer = client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]) == (403, "ForeignHost")
    assert "--allow-host" in answer.json()["message"]


@pytest.mark.parametrize(
    "host", ["", "a@127.0.0.1", "127.0.0.1/x", "127.0.0.1:port", "127.0.0.1:99999", "[::1", ":80", "[::1]x"]
)
def test_bad_hosts(client, host):
    """A request whose header Host is none is refused."""
    answer = client.get("/api/pools", headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]) == (400, "BadHost")


def test_two_hosts(client):
    """A request with two headers Host is refused, as others on its way may believe the other one."""
    answer = client.get("/api/pools", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")])
    assert answer.status_code == 400


def test_any_address(settings, make_client):
    """A server on all addresses answers for each address, but for no foreign name."""
    client = make_client(replace(settings, any_address=True))
    assert client.get("/api/pools", headers={"Host": "10.1.2.3:8765"}).status_code == 200
    assert client.get("/api/pools", headers={"Host": "[fe80::1]"}).status_code == 200
    assert client.get("/api/pools", headers={"Host": "evil.example"}).status_code == 403


FOREIGN = [
    "http://evil.example",
    "null",
    "http://127.0.0.1",
    "http://127.0.0.1:8766",
    "http://localhost:8765",
    "http://127.0.0.1:8765.evil.example",
    "http://127.0.0.1:8765/",
    "ftp://127.0.0.1:8765",
    "",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_origins(client, token, origin):
    """A request of another site's page is refused, even with the token."""
    for answer in (
        client.get("/api/pools", headers={"Origin": origin}),
        client.post("/api/sweep", headers={"Origin": origin, **token}),
    ):
        assert (answer.status_code, answer.json()["error"]) == (403, "ForeignOrigin")


@pytest.mark.parametrize("path", ["/api/sweep", "/api/pools/some/recover", "/api/pools"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_without_the_token(client, settings, path, method):
    """A request that is no GET needs the token, even from the server's own page."""
    for given in ({}, {"X-Blockpool-Token": ""}, {"X-Blockpool-Token": settings.token[:-1]}):
        answer = client.request(method, path, headers={"Origin": HERE, **given})
        assert (answer.status_code, answer.json()["error"]) == (403, "WrongToken")


@pytest.mark.parametrize("given", ["é".encode("latin-1"), b"\xff\xfe", b"x" * 10_000])
def test_strange_tokens(client, given):
    """A token of any bytes is refused, not a failure."""
    assert client.post("/api/sweep", headers={"X-Blockpool-Token": given}).status_code == 403


def test_a_token_elsewhere(client, settings):
    """The token counts in its header only: an address gets into logs."""
    cookie = {"Cookie": f"token={settings.token}"}
    assert client.post(f"/api/sweep?token={settings.token}", headers=cookie).status_code == 403


def test_with_the_token(client, token):
    """With the token, a request is answered if it is of the server's own page, or of no page."""
    assert client.post("/api/sweep", headers=token).status_code == 200
    assert client.post("/api/sweep", headers={"Origin": HERE, **token}).status_code == 200
    behind_a_proxy = {"Host": "pools.example", "Origin": "https://pools.example", **token}
    assert client.post("/api/sweep", headers=behind_a_proxy).status_code == 200


def test_tokens_are_random(settings):
    """Each start has another token, long enough that nobody guesses it, which does not show in the settings' repr."""
    other = type(settings)()
    assert settings.token != other.token
    assert len(settings.token) >= 32
    assert settings.token not in repr(settings)


def test_the_page_has_the_token(client, settings):
    """The page has the token, and no browser keeps it."""
    answer = client.get("/")
    assert answer.text == f'<meta name="blockpool-token" content="{settings.token}">'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["/", "/api/pools", "/static/some.js", "/metrics", "/nothing", "/api/pools/none", "/../x"]
)
@pytest.mark.parametrize("host", ["127.0.0.1:8765", "evil.example"])
def test_security_headers(client, path, host):
    """Every answer tells the browser to run nothing from elsewhere, to show it in no frame, and to guess no type."""
    headers = client.get(path, headers={"Host": host}).headers
    policy = dict(rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/static/../index.html", "/static/%2e%2e/%2e%2e/etc/passwd", "/static//etc/passwd"])
def test_only_the_files_of_the_page(client, path):
    """No other file can be had."""
    answer = client.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text


async def _in_parts():
    for _ in range(2):
        yield b" " * 40_000


def test_large_bodies(client, token):
    """A request with a large body is refused, whether it says how large it is or not."""
    assert client.post("/api/sweep", headers=token, content=b" " * 70_000).status_code == 413
    assert client.post("/api/sweep", headers=token, content=_in_parts()).status_code == 413
    assert client.post("/api/sweep", headers={"Content-Length": "many", **token}).status_code == 413


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback(host):
    """The addresses that only this machine reaches are known as such."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "::", "pools.example"])  # noqa: S104 - none is bound to
def test_not_loopback(host):
    """Others are not taken for one of them."""
    assert not is_loopback(host)
