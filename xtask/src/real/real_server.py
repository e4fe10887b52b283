"""Serves one model file over HTTP on 127.0.0.1 until standard input closes.

Usage: real_server.py MODEL.gguf CONTEXT_TOKENS

Prints one line when it listens: `READY <base url>`, followed by a second base URL if embeddings
are answered elsewhere. One instance does both here: with mean pooling on, it still generates text.
The caller holds standard input open; when the caller dies, however it dies, this ends too.
"""

import sys

import xllamacpp as xlc


def serve(model: str, context: int) -> xlc.Server:
    params = xlc.CommonParams()
    params.model.path = model
    params.model_alias = {"smollm2"}
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the system picks a free one
    params.n_parallel = 2
    params.n_ctx = context * params.n_parallel  # shared out between the parallel slots
    params.n_gpu_layers = 0
    params.cache_ram_mib = 64
    params.embedding = True
    params.pooling_type = xlc.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.warmup = False
    params.ui = False
    params.verbosity = 1
    return xlc.Server(params)


server = serve(sys.argv[1], int(sys.argv[2]))
print("READY", server.listening_address, flush=True)
sys.stdin.read()
