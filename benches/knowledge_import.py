#!/usr/bin/env python3
"""Brings files of pairs into Steward, kills it half-way, has them embedded and searched, and holds what comes against bars.

    benches/knowledge_import.py STEWARD [ROWS]      the program; rows of each file, 100,000 unless given

Two files of mixed Chinese and English, a workbook and a csv in GB18030, of which every hundredth row is no pair. Each is
brought in to a tenant of its own; while the csv is, the process is killed (SIGKILL) half-way and started again. Then a model
that this script plays (384 figures a text) embeds all of them, and questions are asked one after the other. What is not as
it must be (counts, a row's reason, a double, a question that does not find its pair) ends it with 1; figures pass or fail nothing.
"""

import hashlib
import http.client
import http.server
import json
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from xml.sax.saxutils import escape

PASSWORD = "bench-password"
MODEL = "bench-embedding"
DIMENSIONS = 384
SEARCHES = 500
ERRORS_KEPT = 10_000
HEADER = ["问题", "答案", "分类", "质量"]
TOPICS = ["和服租借", "fitting appointment", "退款政策", "opening hours", "停车位", "gift vouchers", "发型设计", "rain and umbrellas"]


def sound(n):
    """The pair of a row: alternately Chinese and English, with words of both."""
    topic = TOPICS[n % len(TOPICS)]
    if n % 2 == 0:
        return [f"关于{topic}的第 {n} 个问题：如何办理？", f"请在前台办理，编号 {n}。{'详情请咨询店员。' * 6}", "中文", "0.9"]
    return [f"Question {n} on {topic}: how does it work?", f"Ask at the desk for no. {n}. {'We are glad to help. ' * 6}", "english", "0.8"]


# What can be wrong with a row: what becomes of a sound one, and what is said of it.
def without_answer(row):
    return [row[0], "", *row[2:]], ("answer", "empty")


def without_question(row):
    return ["", *row[1:]], ("question", "empty")


def too_long(row):
    return [row[0] + "长" * 1_000, *row[1:]], ("question", "too_long")


def no_score(row):
    return [*row[:3], "good"], ("quality_score", "not_a_score")


WRONGS = [without_answer, without_question, too_long, no_score]


def row_of(n):
    """The nth row of a file and what is to be said of it, if anything."""
    row = sound(n)
    if n % 100 != 99:
        return row, None
    # Every fifth of them asks what one before did, in another case and width.
    which = n // 100 % (len(WRONGS) + 1)
    if which == len(WRONGS):
        return [sound(n - 9)[0].upper() + "！", *row[1:]], ("question", "repeated")
    return WRONGS[which](row)


def write_csv(path, rows):
    with open(path, "w", encoding="gb18030", newline="") as file:
        for row in [HEADER, *(row_of(n)[0] for n in range(rows))]:
            file.write(",".join(f'"{cell}"' for cell in row) + "\r\n")


def write_xlsx(path, rows):
    main, package = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        book.writestr("[Content_Types].xml", f'{head}<Types xmlns="{package}/content-types">'
                      '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
                      f'<Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/>'
                      f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{types}.worksheet+xml"/></Types>')
        book.writestr("_rels/.rels", f'{head}<Relationships xmlns="{package}/relationships">'
                      f'<Relationship Id="rId1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>')
        book.writestr("xl/workbook.xml", f'{head}<workbook xmlns="{main}" xmlns:r="{office}">'
                      '<sheets><sheet name="pairs" sheetId="1" r:id="rId1"/></sheets></workbook>')
        book.writestr("xl/_rels/workbook.xml.rels", f'{head}<Relationships xmlns="{package}/relationships">'
                      f'<Relationship Id="rId1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>')
        with book.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(f'{head}<worksheet xmlns="{main}"><sheetData>'.encode())
            for at, row in enumerate([HEADER, *(row_of(n)[0] for n in range(rows))], start=1):
                cells = "".join(
                    f'<c r="{column}{at}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>' for column, cell in zip("ABCD", row)
                )
                sheet.write(f'<row r="{at}">{cells}</row>'.encode())
            sheet.write(b"</sheetData></worksheet>")


class Model(http.server.BaseHTTPRequestHandler):
    """An embedding model: another text is another direction, the same text the same."""

    protocol_version = "HTTP/1.1"
    took = []

    def log_message(self, *_):
        pass

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path != "/took":
            # It is looked at whether the account is well.
            return self.answer(b'{"object":"list","data":[]}')
        took, Model.took = Model.took, []
        self.answer(json.dumps(took).encode())

    def do_POST(self):
        begun = time.perf_counter()
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        vectors = []
        for index, text in enumerate(asked["input"]):
            figures = ",".join(str(byte - 127) for byte in hashlib.shake_128(text.encode()).digest(DIMENSIONS))
            vectors.append(f'{{"object":"embedding","index":{index},"embedding":[{figures}]}}')
        usage = '"usage":{"prompt_tokens":10,"total_tokens":10}'
        self.answer(f'{{"object":"list","data":[{",".join(vectors)}],"model":"{MODEL}",{usage}}}'.encode())
        Model.took.append(time.perf_counter() - begun)


def serve_model(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Model)
    # An answer in two packets would wait for the first to be acknowledged.
    Model.wbufsize = 1 << 20
    server.serve_forever()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Memory(threading.Thread):
    """Samples a process's resident memory; the most since it was last asked."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most = pid, 0.0
        self.start()

    def run(self):
        try:
            while True:
                with open(f"/proc/{self.pid}/statm") as statm:
                    resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
                self.most = max(self.most, resident)
                time.sleep(0.02)
        except (OSError, IndexError):
            pass

    def taken(self):
        most, self.most = self.most, 0.0
        return most


class Served:
    def __init__(self, steward, directory):
        self.port = free_port()
        environment = os.environ | {
            "STEWARD_ADMIN_PASSWORD": PASSWORD,
            "STEWARD__LOG__FILTER": "error",
            "STEWARD__RAG__EMBEDDING_MODEL": MODEL,
            "STEWARD__SCHEDULER__AUTO_SYNC_ENABLED": "false",
            "STEWARD__API__RATE_LIMIT_PER_OPERATOR": "1000000",
            "STEWARD__API__RATE_LIMIT_PER_ADDRESS": "1000000",
        }
        command = [steward, "serve", "--data-dir", directory, "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, env=environment)
        self.memory = Memory(self.process.pid)
        self.token, self.connection = None, None
        deadline = time.time() + 120
        while True:
            try:
                self.ask("GET", "/livez")
                break
            except OSError:
                if time.time() > deadline or self.process.poll() is not None:
                    raise SystemExit("steward does not start")
                time.sleep(0.05)
        self.sign_in()

    def sign_in(self):
        self.token = None
        self.token = self.ask("POST", "/api/v1/auth/login", {"username": "admin", "password": PASSWORD})["access_token"]

    def ask(self, method, path, body=None, raw=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        headers = {"content-type": "application/octet-stream" if raw else "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        sent = raw if raw is not None else json.dumps(body) if body is not None else None
        try:
            self.connection.request(method, path, sent, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as cause:
            self.connection = None
            raise OSError(cause) from cause
        if answer.status == 401 and self.token:
            self.sign_in()
            return self.ask(method, path, body, raw)
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text[:1] in b"{[" else None

    def follow(self, job):
        """Waits for a job's end."""
        while job["state"] in ("queued", "running"):
            time.sleep(0.05)
            job = self.ask("GET", f"/api/v1/jobs/{job['id']}")
        if job["state"] != "succeeded":
            raise SystemExit(job["error"])
        return job

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()


def must(what, is_it, wanted):
    if is_it != wanted:
        raise SystemExit(f"{what}: {is_it} instead of {wanted}")


def send(served, tenant, path):
    with open(path, "rb") as file:
        content = file.read()
    begun = time.time()
    name = os.path.basename(path)
    sent = served.ask("POST", f"/api/v1/ops/knowledge/import?tenant_id={tenant}&file_name={name}", raw=content)
    print(f"{name:9} {len(content) / 2**20:6.1f} MiB   read in {time.time() - begun:6.1f} s   {rss(served)}")
    return sent["id"]


def rss(served):
    return f"at most {served.memory.taken():.0f} MiB resident"


def run(served, sent, dry=False):
    mapping = {"has_header": True, "question": 0, "answer": 1, "category": 2, "quality_score": 3}
    return served.ask("POST", f"/api/v1/ops/knowledge/import/{sent}/run", {"dry_run": dry, "mapping": mapping})["job"]


def check(served, tenant, sent, rows):
    """Counts, doubles and what is said of each row."""
    expected = {n + 2: wrong for n in range(rows) if (wrong := row_of(n)[1])}
    good = rows - len(expected)
    outcome = served.ask("GET", f"/api/v1/ops/knowledge/import/{sent}")["outcome"]
    counts = {key: outcome[key] for key in ("rows", "updated", "kept", "bad")}
    must("the outcome", counts, {"rows": rows + 1, "updated": 0, "kept": 0, "bad": len(expected)})
    must("new and unchanged pairs", outcome["created"] + outcome["unchanged"], good)
    listed = served.ask("GET", f"/api/v1/ops/knowledge/qa-pairs?tenant_id={tenant}&limit=1")
    must("the tenant's pairs", listed["total"], good)
    doubles = served.ask("GET", f"/api/v1/ops/knowledge/duplicates?tenant_id={tenant}")
    must("doubles", doubles["total"], 0)
    told, cursor = {}, ""
    while True:
        page = served.ask("GET", f"/api/v1/ops/knowledge/import/{sent}/errors?limit=200{cursor}")
        told |= {item["row"]: (item["field"], item["reason"]) for item in page["items"]}
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    kept = dict(sorted(expected.items())[:ERRORS_KEPT])
    if told != kept:
        wrong = [(row, told.get(row), kept.get(row)) for row in sorted(told | kept) if told.get(row) != kept.get(row)]
        raise SystemExit(f"{len(wrong)} rows are told wrongly, such as {wrong[:3]}")
    return good, len(expected)


def embed(served, pairs):
    begun = time.time()
    served.ask("POST", "/api/v1/ops/knowledge/sync")
    while True:
        status = served.ask("GET", "/api/v1/ops/knowledge/sync/status")
        if status["waiting_count"] == 0 and status["in_memory"] == pairs:
            break
        if status["outage"] or status["failed_count"]:
            raise SystemExit(f"embedding failed: {status}")
        time.sleep(0.5)
    seconds = time.time() - begun
    print(f"embedded  {pairs:,} pairs in {seconds:.0f} s, {pairs / seconds:,.0f} a second   {rss(served)}")


def percentiles(seconds):
    cut = statistics.quantiles(seconds, n=100)
    return f"p50 {cut[49] * 1000:6.1f} ms   p95 {cut[94] * 1000:6.1f} ms   worst {max(seconds) * 1000:6.1f} ms"


def search(served, model_port, tenant, rows):
    def took():
        connection = http.client.HTTPConnection("127.0.0.1", model_port)
        connection.request("GET", "/took")
        return json.loads(connection.getresponse().read())

    wanted = [n for n in range(0, rows, max(1, rows // SEARCHES)) if row_of(n)[1] is None]
    for whose, body in (("of a tenant", {"tenant_id": tenant}), ("of everybody", {})):
        took()
        whole = []
        for n in wanted:
            question = sound(n)[0]
            begun = time.perf_counter()
            found = served.ask("POST", "/api/v1/knowledge/search", {"query": question, **body})
            whole.append(time.perf_counter() - begun)
            must("what is found", found["items"][0]["pair"]["question"], question)
        model = took()
        must("calls of the model", len(model), len(wanted))
        apart = [all_of_it - models for all_of_it, models in zip(whole, model)]
        print(f"search    {whose:12} {percentiles(whole)}   with the model's time")
        print(f"          {'':12} {percentiles(apart)}   without ({len(wanted)} questions)")
    print(f"          {rss(served)}")


def main():
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    steward, rows = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    scratch = tempfile.mkdtemp(prefix="knowledge-import-")
    model_port = free_port()
    model = multiprocessing.Process(target=serve_model, args=(model_port,), daemon=True)
    model.start()
    served = None
    try:
        begun = time.time()
        files = [os.path.join(scratch, name) for name in ("pairs.xlsx", "pairs.csv")]
        write_xlsx(files[0], rows)
        write_csv(files[1], rows)
        print(f"{rows:,} rows a file, written in {time.time() - begun:.0f} s")
        data = os.path.join(scratch, "data")
        served = Served(steward, data)
        account = {"name": "bench", "provider": "openai", "protocol": "openai", "models": [MODEL],
                   "base_url": f"http://127.0.0.1:{model_port}/v1", "api_key": "sk-bench-0123456789"}
        served.ask("POST", "/api/v1/accounts", account)
        tenants = [served.ask("POST", "/api/v1/ops/tenants", {"name": name})["id"] for name in ("Kimono One", "和服店 A")]
        print(f"idle      {rss(served)}")

        sent = send(served, tenants[0], files[0])
        for dry in (True, False):
            begun = time.time()
            served.follow(run(served, sent, dry))
            print(f"{'tried' if dry else 'brought in':10} {time.time() - begun:6.1f} s   {rss(served)}")
        good, bad = check(served, tenants[0], sent, rows)
        print(f"          {good:,} pairs, {bad:,} rows told, no double")

        sent = send(served, tenants[1], files[1])
        begun = time.time()
        job = run(served, sent)
        while (served.ask("GET", f"/api/v1/ops/knowledge/import/{sent}")["outcome"] or {"rows": 0})["rows"] < rows * 0.4:
            time.sleep(0.002)
        peak = rss(served)
        served.end(signal.SIGKILL)
        served = Served(steward, data)
        there = served.ask("GET", f"/api/v1/ops/knowledge/qa-pairs?tenant_id={tenants[1]}&limit=1")["total"]
        print(f"killed    {there:,} of {good:,} pairs are there   {peak}")
        if not 0 < there < good:
            raise SystemExit("it was not killed half-way")
        job = served.follow(served.ask("GET", f"/api/v1/jobs/{job['id']}"))
        print(f"resumed   whole after {time.time() - begun:.1f} s, started {job['attempts']} times   {rss(served)}")
        check(served, tenants[1], sent, rows)
        sent = send(served, tenants[1], files[1])
        begun = time.time()
        served.follow(run(served, sent))
        again = served.ask("GET", f"/api/v1/ops/knowledge/import/{sent}")["outcome"]
        must("the same file once more", (again["created"], again["unchanged"]), (0, good))
        print(f"again     {time.time() - begun:6.1f} s, nothing changed   {rss(served)}")

        embed(served, 2 * good)
        search(served, model_port, tenants[0], rows)
    finally:
        if served:
            served.end()
        model.terminate()
        shutil.rmtree(scratch)


main()
