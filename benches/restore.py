#!/usr/bin/env python3
"""Backs up, drills and restores a data directory that `benches/long_log.py` made, and prints time, size and memory.

    benches/restore.py STEWARD DIR        the program, the directory

The backup goes beside the directory and is removed at the end, as is what was restored.
"""

import http.client
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time


def peak_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


class Served:
    def __init__(self, steward, directory):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = os.environ | {"STEWARD__LOG__FILTER": "error"}
        command = [steward, "serve", "--data-dir", directory, "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, env=environment)
        self.token = None
        deadline = time.time() + 120
        while time.time() < deadline:
            try:
                self.ask("GET", "/livez")
                break
            except OSError:
                time.sleep(0.05)
        body = {"username": "admin", "password": "bench-password"}
        self.token = self.ask("POST", "/api/v1/auth/login", body)["access_token"]

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text[:1] in b"{[" else None

    def job(self, path, body):
        begun = time.time()
        job = self.ask("POST", path, body)["job"]
        while job["state"] in ("queued", "running"):
            time.sleep(0.1)
            job = self.ask("GET", f"/api/v1/jobs/{job['id']}")
        if job["state"] != "succeeded":
            raise SystemExit(job["error"])
        return job["result"], time.time() - begun

    def numbers(self):
        overview = self.ask("GET", "/api/v1/stats/overview?range=90d")
        return {key: overview[key] for key in ("request_count", "success_rate", "total_tokens", "p95_duration_ms")}

    def end(self):
        self.process.terminate()
        self.process.wait()


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    steward, directory = sys.argv[1:3]
    scratch = tempfile.mkdtemp(prefix="restore-", dir=os.path.dirname(os.path.abspath(directory)))
    served = Served(steward, directory)
    try:
        before = served.numbers()
        idle = peak_mib(served.process.pid)
        plan = {"kind": "folder", "path": f"{scratch}/backups", "enabled": False, "drill": False}
        served.ask("PUT", "/api/v1/ops/backups/plan", plan)
        made, seconds = served.job("/api/v1/ops/backups", {})
        print(f"backup   {seconds:7.1f} s   {made['rows']:,} rows, {made['bytes'] / 2**20:.1f} MiB")
        print(f"         peak {peak_mib(served.process.pid):.0f} MiB resident, {idle:.0f} before")
        drilled, seconds = served.job("/api/v1/ops/backups/drill", {})
        print(f"drill    {seconds:7.1f} s   {drilled['tables']} tables the same")
        print(f"         peak {peak_mib(served.process.pid):.0f} MiB resident")
        served.end()
        begun = time.time()
        command = [steward, "restore", "--data-dir", f"{scratch}/data", "--from", f"{scratch}/backups"]
        subprocess.run([*command, "--key-file", f"{directory}/steward.key"], check=True, stderr=subprocess.DEVNULL)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"restore  {time.time() - begun:7.1f} s   peak of all at most {peak:.0f} MiB resident")
        served = Served(steward, f"{scratch}/data")
        after = served.numbers()
        print("numbers  " + ("the same" if before == after else f"differ: {before} {after}"))
    finally:
        served.end()
        shutil.rmtree(scratch)


main()
