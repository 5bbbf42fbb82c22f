"""The server of llama.cpp, as a process of its own: `python -m tests.support.llama_server MODEL PORT PLACES`."""

from __future__ import annotations

import sys
import threading

import xllamacpp

CONTEXT_TOKENS = 4096


def serve(model_file: str, port: int, places: int) -> None:
    """Serve a model until the process is killed. One thread: more spin when the machine is busy."""
    params = xllamacpp.CommonParams()
    params.model.path = model_file
    params.model_alias = {"smollm2"}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx, params.n_parallel = CONTEXT_TOKENS, places
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_props = True
    server = xllamacpp.Server(params)
    print(f"serving {server!r}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
