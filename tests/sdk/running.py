"""Starting and stopping what the script-driven tests need: a fake provider, a Steward. Standard library only."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

# Told to stop, a script still stops its children: the exit runs every `finally`.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def stop(process, seconds=40):
    """Asks a child to end, by its pid, and insists when it does not."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Provider:
    """The fake provider as a child process."""

    def __init__(self, binary):
        self.process = subprocess.Popen([os.path.abspath(binary), "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)


class Steward:
    """A Steward on a free loopback port with a data directory of its own, and an operator signed in."""

    PASSWORD = "correct horse battery staple"

    def __init__(self, binary, directory, database_url=None, environment=None):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = open(os.path.join(directory, "steward.log"), "ab")
        settings = {**os.environ, "STEWARD_ADMIN_PASSWORD": self.PASSWORD, **(environment or {})}
        if database_url:
            settings["STEWARD__DATABASE__URL"] = database_url
        data = os.path.join(directory, "data")
        command = [os.path.abspath(binary), "serve", "--data-dir", data, "--listen", self.url.removeprefix("http://")]
        self.process = subprocess.Popen(command, env=settings, cwd=directory, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready(os.path.join(directory, "steward.log"))
            self.access_token = self.call("POST", "auth/login", {"username": "admin", "password": self.PASSWORD})["access_token"]
        except BaseException:
            stop(self.process)
            raise

    def _wait_until_ready(self, log):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        with open(log, encoding="utf-8", errors="replace") as lines:
            raise RuntimeError(f"Steward did not become ready:\n{lines.read()[-4000:]}")

    def call(self, method, path, body=None):
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", method=method)
        request.add_header("content-type", "application/json")
        if getattr(self, "access_token", None):
            request.add_header("authorization", f"Bearer {self.access_token}")
        try:
            with urllib.request.urlopen(request, json.dumps(body).encode() if body is not None else None, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None
        return json.loads(text) if text else None

    def create(self, resource, body):
        return self.call("POST", resource, body)

    def delete(self, path):
        return self.call("DELETE", path)

    def stop(self):
        stop(self.process)
        self.log.close()
