"""Milvus Lite at odd places, servers that are not there, and no secret in any message."""

import logging
import os
import shutil
import socket
import subprocess
import sys

import pytest

from conftest import free_port
from notebook import CODE, check_alive, connect, is_lite


def sentence(error):
    """The message that a reader sees, checked to be short and without a secret."""
    message = str(error.value)
    assert "\n" not in message and len(message) < 300 and "secret" not in message
    return message


@pytest.fixture
def milvus():
    """`connect`, whose clients are closed in the end."""
    clients = []

    def open_client(*arguments, **more):
        clients.append(connect(*arguments, **more))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


def store(client, collection="news"):
    """Make a collection of three rows."""
    client.create_collection(collection, dimension=2, consistency_level="Strong")
    client.insert(collection, [{"id": row, "vector": [row, 1]} for row in range(3)])
    return client


def test_what_is_a_path_and_what_a_server():
    paths = ["milvus.db", "./milvus.db", "~/news/milvus.db", "/tmp/a b.db"]
    assert all(map(is_lite, paths))
    servers = ["http://localhost:19530", "https://host/my.db", "milvus", "tcp://host:1"]
    assert not any(map(is_lite, servers))


def test_missing_folders_are_made_and_a_tilde_is_the_home_folder(milvus, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    store(milvus("~/no/such/folder/milvus.db"))
    assert (tmp_path / "no" / "such" / "folder" / "milvus.db").is_dir()
    assert not (tmp_path / "~").exists()
    check_alive("~/no/such/folder/milvus.db")


def test_connecting_again_in_one_kernel_finds_what_is_there(milvus, tmp_path):
    address = str(tmp_path / "milvus.db")
    first, second = store(milvus(address)), milvus(address)
    assert second.list_collections() == first.list_collections() == ["news"]
    first.close()
    assert second.list_collections() == milvus(address).list_collections() == ["news"]


@pytest.mark.parametrize("content", [b"SQLite format 3\x00", b"", {"letter.txt": "dear"}])
def test_a_file_or_folder_that_is_not_milvus_lites_is_named_and_not_touched(tmp_path, content):
    path = tmp_path / "milvus.db"
    if isinstance(content, bytes):
        path.write_bytes(content)  # such as an older Milvus Lite's
    else:
        path.mkdir()
        (path / "letter.txt").write_text("dear")
    expected = "milvus.db is no folder of Milvus Lite 3. Nothing in it was touched: move it away"
    with pytest.raises(OSError, match=expected) as error:
        connect(str(path))
    assert str(path) in sentence(error)
    if path.is_file():
        assert path.read_bytes() == content
    else:
        assert [each.name for each in path.iterdir()] == ["letter.txt"]


def test_an_empty_folder_is_fine(milvus, tmp_path):
    (tmp_path / "milvus.db").mkdir()
    assert store(milvus(str(tmp_path / "milvus.db"))).list_collections() == ["news"]


def test_a_folder_that_cannot_be_made_is_an_error_with_its_cause(tmp_path):
    (tmp_path / "file").write_text("in the way")
    expected = "cannot be opened .(Not a directory|File exists).*MILVUS_ADDRESS"
    for place in "file/milvus.db", "file/deeper/milvus.db":
        with pytest.raises(OSError, match=expected) as error:
            connect(str(tmp_path / place))
        assert sentence(error)


OTHER_NOTEBOOK = """
import sys
from pymilvus import MilvusClient
client = MilvusClient(sys.argv[1])
input(print("open", flush=True))"""


def test_a_folder_that_is_open_in_another_notebook(milvus, tmp_path):
    address = str(tmp_path / "milvus.db")
    command = [sys.executable, "-c", OTHER_NOTEBOOK, address]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "open\n"
        for _ in range(2):
            expected = "is open in another notebook: shut down its kernel"
            with pytest.raises(OSError, match=expected) as error:
                connect(address)
            assert address in sentence(error)
        other.communicate("go on\n")
    assert store(milvus(address)).list_collections() == ["news"]


def test_a_folder_deleted_while_it_was_open_is_said_and_can_be_connected_to_anew(milvus, tmp_path):
    address = str(tmp_path / "milvus.db")
    store(milvus(address))
    check_alive(address)
    shutil.rmtree(address)
    expected = "milvus.db has been deleted while it was open: run section 4"
    with pytest.raises(RuntimeError, match=expected) as error:
        check_alive(address)
    assert sentence(error)
    anew = milvus(address)
    check_alive(address)
    assert anew.list_collections() == []
    assert store(anew, "other").query("other", output_fields=["count(*)"])[0]["count(*)"] == 3


def test_a_server_is_never_said_to_be_deleted():
    check_alive("http://127.0.0.1:1")
    check_alive("https://cloud.example/my.db")


@pytest.mark.parametrize(
    "address, token, said",
    [
        ("http://127.0.0.1:{closed}", "root:secret-word", "127.0.0.1:{closed}"),
        ("http://root:secret-word@127.0.0.1:{closed}", "", "//127.0.0.1:{closed}"),
        ("http://root:secret@word@127.0.0.1:{closed}", "", "//127.0.0.1:{closed}"),
        ("http://127.0.0.1:{silent}", "secret-word", "127.0.0.1:{silent}"),
        ("http://root:secret@127.0.0.1:port", "", "//127.0.0.1:port"),
        ("root:secret/word@milvus", "secret-word", " milvus,"),
    ],
)
def test_a_server_that_is_not_there_is_named_without_a_secret(address, token, said):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = {"closed": free_port(), "silent": silent.getsockname()[1]}
        expected = "^No Milvus answers at .*MILVUS_ADDRESS.*MILVUS_TOKEN"
        with pytest.raises(OSError, match=expected) as error:
            connect(address.format(**ports), token, timeout=1)
    assert said.format(**ports) in sentence(error) and "root" not in str(error.value)


@pytest.mark.parametrize("token", ["root:wrong-secret", ""])
def test_a_wrong_token_is_an_error_without_the_token(server, token):
    with pytest.raises(OSError, match="refuses the token.*MILVUS_TOKEN") as error:
        connect(server["MILVUS_ADDRESS"], token, timeout=1)
    assert server["MILVUS_ADDRESS"] in sentence(error)


def test_a_server_takes_the_right_token(milvus, server):
    client = milvus(server["MILVUS_ADDRESS"], server["MILVUS_TOKEN"])
    assert not client.has_collection("one_that_nobody_made")


def test_nothing_is_logged_where_an_error_is_raised_anyway(caplog, tmp_path):
    for library in "pymilvus", "milvus_lite":
        logging.getLogger(library).setLevel(logging.NOTSET)
    (tmp_path / "file").write_text("in the way")
    for address in str(tmp_path / "file" / "milvus.db"), f"http://127.0.0.1:{free_port()}":
        with pytest.raises(OSError):
            connect(address, timeout=1)
    assert caplog.text == ""


def test_a_proxy_does_not_stand_between_the_notebook_and_its_milvus_lite(tmp_path):
    """In a process of its own, as libraries look for a proxy early; the cell is executed twice."""
    cells = [cell.source for cell in CODE if "no_proxy" in cell.source]
    assert len(cells) == 1
    code = "\n".join(
        cells * 2
        + [
            "from pymilvus import MilvusClient",
            "print(MilvusClient('milvus.db').list_collections())",
            "print(os.environ['no_proxy'])",
        ]
    )
    dead = f"http://127.0.0.1:{free_port()}"
    proxies = {"http_proxy": dead, "https_proxy": dead, "no_proxy": "localhost,example.org"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | proxies,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[]\nlocalhost,example.org\n", done.stderr[-500:]  # for all others
