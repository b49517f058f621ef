"""The server as it is started: `blockpool serve`."""

import os
import signal
import socket
import subprocess
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import blockpool as bp
from blockpool._extras import install_command
from blockpool.cli.app import app
from blockpool.web.openapi import description
from programs import interpreter, run_command
from waits import await_true


def validate(name, data):
    """Compare data with a schema of the API's description."""
    components = description()["components"]
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    jsonschema.Draft202012Validator(schema).validate(data)


def test_it_says_where_it_is(serving):
    """The first line has the address of the page."""
    assert serving.line == f"http://127.0.0.1:{serving.port}/  (Ctrl-C ends it)\n"


def test_a_rate_that_is_no_number():
    """No number is no rate."""
    assert CliRunner().invoke(app, ["serve", "--port=0", "--rate=nan"]).exit_code == 2


def test_nobody_reads_where_it_is():
    """If it cannot say where it is, it ends as other commands do: with a status, and without a traceback."""
    program = "import sys; from blockpool.cli import main; sys.exit(main(['serve', '--port=0']))"
    ours, theirs = os.pipe()
    os.close(ours)
    with subprocess.Popen(interpreter(program), stdout=theirs, stderr=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


def test_events(serving, shared, pool_name):
    """A page gets updates as they are described, the first with a picture, and says goodbye when the pool is gone."""
    with serving.stream(pool_name) as page:
        events = page.events()
        number, kind, data = next(events)
        assert (number, kind, data["map"]["cells"]) == (1, "snapshot", 16)
        validate("Update", data)
        block = shared.allocate(blocks=2)
        while data["snapshot"]["counts"]["allocated"] != 2:
            number, kind, data = next(events)
        validate("Update", data)
        del block
        shared.close()
        *_, (_, kind, data) = events
        assert kind == "gone"
        validate("Gone", data)


def test_twenty_pages(serving, shared, pool_name, file_of):
    """Twenty pages get updates; the pool does not see them; when the last leaves, the server looks no more."""
    pages = [serving.stream(pool_name) for _ in range(20)]
    for page in pages:
        events = page.events()
        assert [next(events)[1] for _ in range(3)] == ["snapshot"] * 3
    assert serving.looks_at(file_of(pool_name))
    assert shared.stats().processes == 1
    for page in pages[1:]:
        page.close()
    events = pages[0].events()
    assert [next(events)[1] for _ in range(3)] == ["snapshot"] * 3
    assert serving.looks_at(file_of(pool_name))
    pages[0].close()
    await_true(lambda: not serving.looks_at(file_of(pool_name)))


def memory_of(process):
    """Return how much memory a process uses, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1000


def test_a_page_that_does_not_read(serving, pool_name, peer):
    """A page that does not read what is sent skips updates; others get theirs, and the server's memory stays."""
    pool = bp.Pool.create(64, 100_000, name=pool_name)
    peer(f"""
        pool = bp.Pool.attach({pool_name!r})
        ended = []
        def change():
            while not ended:  # so that each update has a picture
                held = [pool.allocate(blocks=count) for count in range(1, 100)]
                del held
        thread = threading.Thread(target=change); thread.start()
    """)
    with serving.stream(pool_name, buffer=4096) as stuck, serving.stream(pool_name) as page:
        stuck_events, events = stuck.events(), page.events()
        sent = last = 0
        while last < 10:
            last, _, _ = next(events)
        before = memory_of(serving.process)
        while last < 50 or sent <= 40 * 30_000:
            last, _, data = next(events)
            sent += len(str(data["map"]))
        assert memory_of(serving.process) - before < 20
        numbers = [next(stuck_events)[0]]
        while numbers[-1] < last:
            numbers.append(next(stuck_events)[0])
        assert max(after - before for before, after in pairwise(numbers)) > 5
    peer("ended.append(True); thread.join()")
    pool.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_with_pages_open(serving, shared, pool_name, number):
    """Ctrl-C ends the server in a moment, also with pages open and with a connection that asks nothing."""
    with serving.stream(pool_name) as page, socket.create_connection(("127.0.0.1", serving.port)):
        assert next(page.events())[1] == "snapshot"
        status, said = serving.end(number)
        assert (status, said) == (0 if number == signal.SIGINT else -number, "")
        list(page.events())
    assert shared.stats().processes == 1


def test_a_port_in_use():
    """A port that another program uses is told in one sentence, and the exit status is 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in result.output
    assert "--port" in result.output


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1", "x" * 100, ""])
def test_bad_addresses(host):
    """An address that is none of this machine is told in one sentence, and the exit status is 2."""
    result = CliRunner().invoke(app, ["serve", "--host", host, "--port", "0"])
    assert result.exit_code == 2
    assert "host" in result.output or "listen" in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("arguments", [["--port", "65536"], ["--port", "-1"], ["--rate", "0"], ["--rate", "11"]])
def test_bad_options(arguments):
    """An option that is out of its range is refused."""
    assert CliRunner().invoke(app, ["serve", *arguments]).exit_code == 2


def test_beyond_loopback_it_warns(serve):
    """A server that other machines reach says what they can do; it answers for addresses, not for foreign names."""
    with serve("--host", "0.0.0.0") as server:  # noqa: S104 - that is what is tested
        for host, status in (("10.1.2.3", 200), ("evil.example", 403)):
            with socket.create_connection(("127.0.0.1", server.port)) as asking:
                asking.sendall(f"GET /api/pools HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                assert int(asking.makefile("rb").readline().split()[1]) == status
        status, said = server.end()
    assert status == 0
    assert "warning: every computer that reaches this port sees the pools of this user" in said
    assert "recover" in said


def test_other_addresses_of_loopback(serve):
    """IPv6 and names work."""
    with serve("--host", "localhost") as server:
        assert f"http://localhost:{server.port}/" in server.line
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("there is no IPv6")
    with serve("--host", "::1") as server:
        assert f"http://[::1]:{server.port}/" in server.line


def test_without_the_extra():
    """Without the packages that it needs, it says how to install them."""
    code = """
        import sys
        sys.modules["starlette"] = None
        from blockpool.cli.serve import serve
        serve()
    """
    from programs import interpreter

    _, done = run_command(interpreter(code))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"serve needs starlette; install what it needs with: {install_command('web')}" in done.stderr


def test_help_needs_no_server(run_python):
    """The command's help, and so the command line, imports nothing of the server."""
    out = run_python("""
        import sys
        from click.testing import CliRunner
        from blockpool.cli.serve import serve
        assert CliRunner().invoke(serve, ["--help"]).exit_code == 0
        print(sorted({name.partition(".")[0] for name in sys.modules} & {"starlette", "uvicorn", "prometheus_client"}))
    """)
    assert out == "[]\n"


def test_metrics(serving, shared, pool_name):
    """The metrics of all pools are served, in the form that was asked for."""
    for accept, kind in (("text/plain", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/")):
        with socket.create_connection(("127.0.0.1", serving.port)) as asking:
            headers = f"Host: 127.0.0.1\r\nAccept: {accept}\r\nConnection: close"
            asking.sendall(f"GET /metrics HTTP/1.1\r\n{headers}\r\n\r\n".encode())
            answer = asking.makefile("rb").read().decode()
        assert f"\r\ncontent-type: {kind}" in answer
        assert f'blockpool_free_bytes{{pool="{pool_name}"}} {float(shared.nbytes)}' in answer


def test_it_runs_as_this_user(serving, shared, pool_name):
    """The pools that it shows are those of its user."""
    assert os.stat(f"/proc/{serving.process.pid}").st_uid == os.geteuid()  # noqa: PTH116
    with serving.stream(pool_name) as page:
        _, _, data = next(page.events())
    assert data["snapshot"]["processes"][0]["pid"] == os.getpid()
    assert shared.stats().processes == 1
