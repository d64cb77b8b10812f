"""Notices as receivers get them: mail through aiosmtpd, webhooks checked by the standardwebhooks library.

    build/venv/bin/python tests/notices/receivers.py --steward target/debug/steward --provider target/debug/examples/fake_provider

An upstream that fails makes a rule fire; the incident is acknowledged, and ends when the upstream does well again. Each of
the three must arrive at both receivers, in order, once: the webhooks signed, before and after the secret was changed, the
mails in one thread, the first of them although the relay put it off; then a report, to both. Runs in the environment of tests/sdk/requirements.txt.
"""

import argparse
import csv
import email
import email.policy
import http.server
import io
import json
import pathlib
import re
import struct
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib

from aiosmtpd.controller import Controller
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "sdk"))

from running import Provider, Steward, free_port

PATIENCE_S = 60


def eventually(what, ask):
    """What `ask` answers, once it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = ask()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S} s in vain: {what}")


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


class Mailbox:
    """What a relay took. It puts the first mail off and rejects whatever goes to nobody."""

    def __init__(self):
        self.mails = []
        self.put_off = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        if not self.put_off:
            self.put_off.append(mail["Message-ID"])
            return "451 4.7.1 try again later"
        self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), mail))
        return "250 2.0.0 kept"


class Hook:
    """A receiver of webhooks that believes nothing it cannot verify."""

    def __init__(self):
        self.secrets = []
        self.told = []
        self.refused = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                verified = []
                for secret in hook.secrets:
                    try:
                        Webhook(secret).verify(body.decode(), headers)
                        verified.append(secret)
                    except WebhookVerificationError as error:
                        hook.refused.append(str(error))
                status = 202 if verified else 401
                if verified:
                    notice = json.loads(body)
                    hook.told.append((headers["webhook-id"], notice["type"], notice["data"], verified))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def call(steward, key, model):
    """A call of an application; its status."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"{steward.url}/v1/chat/completions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def check_webhooks(hook, incident, old, new):
    expect([kind for _, kind, _, _ in hook.told], ["test", "alert.fired", "alert.acknowledged", "alert.resolved"], "the webhooks")
    expect(len({name for name, *_ in hook.told}), 4, "their ids")
    # While the secret changes over, both sign.
    expect(hook.told[0][3], [old], "what signed before the change")
    for _, kind, data, verified in hook.told[1:]:
        expect(verified, [old, new], f"what signed {kind}")
        expect(incident in json.dumps(data), True, f"{kind} names its incident")


def check_mails(mailbox):
    expect(len(mailbox.mails), 3, "the mails")
    threads = set()
    for (sender, recipients, mail), word in zip(mailbox.mails, ["FIRING", "ACK", "RESOLVED"]):
        expect(sender, "alerts@example.com", "the sender")
        expect(recipients, ["ada@example.com", "bob@example.com"], "the recipients")
        expect(mail["Auto-Submitted"], "auto-generated", "Auto-Submitted")
        expect(mail.get_content_type(), "multipart/alternative", "the mail")
        expect([part.get_content_type() for part in mail.iter_parts()], ["text/plain", "text/html"], "its parts")
        expect(word in mail["Subject"].upper() and "errors" in mail["Subject"], True, f"{word} in {mail['Subject']!r}")
        expect(mail["References"], mail["In-Reply-To"], "what it answers")
        threads.add(mail["References"])
        expect("error_rate" in mail.get_body(("plain",)).get_content(), True, "the condition in the text")
    expect(len(threads), 1, "the threads")
    expect(len({mail["Message-ID"] for *_, mail in mailbox.mails}), 3, "the ids of the mails")
    # Put off is not lost, and not another notice.
    expect(mailbox.mails[0][2]["Message-ID"], mailbox.put_off[0], "the id of the mail that was put off")


def check_gathered(steward, key, mailbox, channels):
    """Two incidents of one round are one mail of both threads, once the setting says so; the webhook gets each."""
    before = len(mailbox.mails)
    steward.call("PUT", "ops/config/alerts", {"group_window_s": 2})
    rules = [{"name": name, "condition": f"{metric} > 0", "severity": "error", "channels": channels} for name, metric in [("calls", "request_count"), ("words", "prompt_tokens")]]
    steward.call("PUT", "ops/alerts/rules", {"rules": rules})
    eventually("the mail of both", lambda: len(mailbox.mails) > before)
    mail = mailbox.mails[before][2]
    expect(mail["Subject"], "[FIRING:2] calls, words", "the subject of two notices")
    expect(len(mail["References"].split()), 2, "the threads of two notices")
    expect(mail["In-Reply-To"] in mail["References"], True, "the thread it stands in")
    text = mail.get_body(("plain",)).get_content()
    expect("request_count > 0" in text and "prompt_tokens > 0" in text, True, "both conditions in the text")


def check_report(steward, mailbox, hook, channels):
    """A report is a mail whose pictures decode and whose file parses, and the same numbers for the webhook."""
    path = "stats/overview?range=today"
    for channel in channels:
        before, told = len(mailbox.mails), len(hook.told)
        report = {"name": "每日报表", "range": "this_month", "group_by": "model", "columns": ["request_count", "success_rate", "total_tokens", "cost"], "language": "zh-CN", "channel_id": channel}
        report = steward.create("reports", report)
        # The calls are in the statistics a moment after they were answered; by then none is on its way.
        eventually("settled statistics", lambda: steward.call("GET", path)["request_count"] >= 5)
        run = steward.create(f"reports/{report['id']}/run", {"deliver": True})["run"]
        done = lambda: steward.call("GET", f"reports/{report['id']}/runs/{run['id']}")
        table = eventually("the run", lambda: done()["table"])
        eventually("its delivery", lambda: done()["delivery"]["state"] == "delivered")
        if channel == channels[0]:
            check_report_mail(mailbox.mails[before:], table)
            continue
        expect(len(hook.told), told + 1, "the webhooks of a report")
        _, kind, data, _ = hook.told[told]
        expect((kind, data["totals"], data["rows"]), ("report.ready", table["totals"], table["rows"]), "the report at the webhook")


def check_report_mail(mails, table):
    expect(len(mails), 1, "the mails of a report")
    mail = mails[0][2]
    expect("每日报表" in mail["Subject"], True, f"the name in {mail['Subject']!r}")
    expect(mail.get_content_type(), "multipart/mixed", "the mail of a report")
    page = mail.get_body(("html",)).get_content()
    expect("请求数" in mail.get_body(("plain",)).get_content() and "请求数" in page, True, "the language")
    images = {part["Content-ID"].strip("<>"): part.get_content() for part in mail.walk() if part.get_content_type() == "image/png"}
    expect(len(images) >= 1, True, "pictures")
    shown = set(re.findall(r'src="cid:([^"]+)"', page))
    expect(shown, set(images), "the pictures that the page shows")
    for name, image in images.items():
        check_png(image, name)
    files = [part for part in mail.iter_attachments() if part.get_filename()]
    expect([part.get_content_type() for part in files], ["text/csv"], "the files")
    lines = list(csv.DictReader(io.StringIO(files[0].get_content().lstrip("\ufeff"))))
    expect([line["name"] for line in lines], [row["name"] for row in table["rows"]], "the rows of the file")
    expect([int(line["request_count"]) for line in lines], [row["values"]["request_count"] for row in table["rows"]], "their calls")


def check_png(image, name):
    """Every chunk is whole, and the pixels are as many as the head says."""
    expect(image[:8], b"\x89PNG\r\n\x1a\n", f"the beginning of {name}")
    at, kinds, packed = 8, [], b""
    while at < len(image):
        (length,), kind = struct.unpack(">I", image[at : at + 4]), image[at + 4 : at + 8]
        data = image[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", image[at + 8 + length : at + 12 + length])
        expect(zlib.crc32(kind + data), checksum, f"the checksum of {kind} in {name}")
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", data[:10])
        if kind == b"IDAT":
            packed += data
        kinds.append(kind)
        at += 12 + length
    expect((kinds[0], kinds[-1]), (b"IHDR", b"IEND"), f"the chunks of {name}")
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    expect(len(zlib.decompress(packed)), height * (1 + width * samples * depth // 8), f"the pixels of {name}")


def run(steward, provider, mailbox, hook):
    account = {"name": "upstream", "provider": "fake", "protocol": "openai", "base_url": f"{provider.url}/v1", "api_key": "sk-upstream", "models": ["*"]}
    steward.create("accounts", account)
    key = steward.create("tokens", {"name": "app"})["token"]
    steward.call("PUT", "ops/alerts/rules", {"rules": []})
    # Each notice by itself at first.
    steward.call("PUT", "ops/config/alerts", {"group_window_s": 0})
    webhook = steward.create("ops/alerts/channels", {"name": "hook", "kind": "webhook", "url": hook.url})
    old = webhook["secret"]
    hook.secrets.append(old)
    tested = steward.create(f"ops/alerts/channels/{webhook['id']}/test", None)
    expect((tested["outcome"], tested["status_code"]), ("delivered", 202), "the test of the webhook")
    new = steward.create(f"ops/alerts/channels/{webhook['id']}/rotate", None)["secret"]
    hook.secrets.append(new)

    nobody = steward.create("ops/alerts/channels", {"name": "nobody", "kind": "email", "to": ["nobody@example.com"], "takes_all": False})
    tested = steward.create(f"ops/alerts/channels/{nobody['id']}/test", None)
    expect((tested["outcome"], tested["status_code"]), ("rejected", 550), "the test of a mail to nobody")
    mail = steward.create("ops/alerts/channels", {"name": "mail", "kind": "email", "to": ["ada@example.com", "bob@example.com"]})
    rule = {"name": "errors", "condition": "error_rate > 0.5", "severity": "critical", "channels": [webhook["id"], mail["id"]]}
    steward.create("ops/alerts/rules", rule)

    call(steward, key, "gpt-4o+status=500")
    active = eventually("the incident", lambda: steward.call("GET", "ops/alerts/active")["items"])
    incident = active[0]["id"]
    eventually("the fire at the webhook", lambda: len(hook.told) >= 2)
    steward.create(f"ops/alerts/{incident}/acknowledge", {})
    eventually("the acknowledgement at the webhook", lambda: len(hook.told) >= 3)
    for _ in range(4):
        expect(call(steward, key, "gpt-4o"), 200, "a call that succeeds")
    eventually("the end at the webhook", lambda: len(hook.told) >= 4)
    eventually("three mails", lambda: len(mailbox.mails) >= 3)
    check_webhooks(hook, incident, old, new)
    check_mails(mailbox)
    kept = steward.call("GET", f"ops/alerts/channels/{mail['id']}/deliveries")["items"]
    answers = [one["status_code"] for one in reversed(kept)]
    expect((answers[0], answers.count(250)), (451, 3), "what the relay answered, as it is kept")
    check_gathered(steward, key, mailbox, [webhook["id"], mail["id"]])
    eventually("both at the webhook", lambda: {"calls", "words"} <= {data["rule"] for _, _, data, _ in hook.told})
    # No alert comes between.
    steward.call("PUT", "ops/alerts/rules", {"rules": []})
    eventually("the end of the alerts", lambda: not steward.call("GET", "ops/alerts/active")["items"])
    ended = lambda: {data["rule"] for _, kind, data, _ in hook.told if kind == "alert.resolved"}
    eventually("both ends at the webhook", lambda: {"calls", "words"} <= ended())
    eventually("the mail of both ends", lambda: mailbox.mails[-1][2]["Subject"] == "[RESOLVED:2] calls, words")
    quiet = lambda: not any(channel["failing_since"] for channel in steward.call("GET", "ops/alerts/channels")["items"] if channel["id"] in (mail["id"], webhook["id"]))
    eventually("quiet channels", quiet)
    people = steward.create("ops/alerts/channels", {"name": "people", "kind": "email", "to": ["eve@example.com"], "takes_all": False})
    check_report(steward, mailbox, hook, [people["id"], webhook["id"]])
    # One address that the relay refuses keeps the mail from nobody else.
    some = steward.create("ops/alerts/channels", {"name": "some", "kind": "email", "to": ["ada@example.com", "nobody@example.com", "bob@example.com"], "takes_all": False})
    before = len(mailbox.mails)
    tested = steward.create(f"ops/alerts/channels/{some['id']}/test", None)
    expect((tested["outcome"], tested["status_code"]), ("delivered", 250), "the test of a mail to some")
    expect([to for _, to, _ in mailbox.mails[before:]], [["ada@example.com"], ["bob@example.com"]], "who has it")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--steward", required=True)
    options.add_argument("--provider", required=True)
    options = options.parse_args()
    mailbox, hook = Mailbox(), Hook()
    relay = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    relay.start()
    try:
        with Provider(options.provider) as provider, tempfile.TemporaryDirectory() as directory:
            environment = {
                "STEWARD__ALERTS__INTERVAL_MS": "200",
                "STEWARD__EGRESS__ALLOW_PRIVATE": "true",
                "STEWARD__SMTP__URL": f"smtp://127.0.0.1:{relay.port}",
                "STEWARD__SMTP__FROM": "Steward <alerts@example.com>",
            }
            steward = Steward(options.steward, directory, environment=environment)
            try:
                run(steward, provider, mailbox, hook)
            finally:
                steward.stop()
    finally:
        relay.stop()
        hook.server.shutdown()
    print("Mails and webhooks arrived: fired, acknowledged, resolved.")


if __name__ == "__main__":
    main()
