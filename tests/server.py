"""Run a real Milvus server until standard input closes.

Usage: python server.py FOLDER PORT [authorization]      (user root, password Milvus)
It comes from the package milvus, which holds the server for Linux on x86-64.
"""

import os
import signal
import socket
import sys
from pathlib import Path

from milvus import default_server

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
clients, peers = (f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in sockets)
for listener in sockets:
    listener.close()
etcd = Path(sys.argv[1]) / "etcd.yaml"  # without it, a second server finds the ports taken
etcd.write_text(
    f"name: default\nlisten-client-urls: {clients}\nadvertise-client-urls: {clients}\n"
    f"listen-peer-urls: {peers}\ninitial-advertise-peer-urls: {peers}\n"
    f"initial-cluster: default={peers}\n"
)
os.environ["ETCD_CONFIG_PATH"] = str(etcd)
default_server.set_base_dir(sys.argv[1])
default_server.listen_port = int(sys.argv[2])
default_server.config.set("authorization_enabled", "authorization" in sys.argv)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the server ends with this process
with default_server:
    print("ready", flush=True)
    sys.stdin.read()
