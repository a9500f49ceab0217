"""Run a real Milvus server until standard input closes: python server.py FOLDER PORT [authorization]

It comes from the package milvus, which holds the server for Linux on x86-64. User root, password Milvus.
"""
import signal
import sys

from milvus import default_server

default_server.set_base_dir(sys.argv[1])
default_server.listen_port = int(sys.argv[2])
default_server.config.set("authorization_enabled", "authorization" in sys.argv)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the server ends with this process
with default_server:
    print("ready", flush=True)
    sys.stdin.read()
