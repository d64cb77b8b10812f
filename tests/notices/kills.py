"""Notices survive kill -9 wherever it strikes: mail through aiosmtpd, webhooks checked by the standardwebhooks library.

    build/venv/bin/python tests/notices/kills.py --steward target/debug/steward --provider target/debug/examples/fake_provider

From the evaluation of a rule to the receiver's answer on the books, a Steward built for tests has named places at which
it kills itself when told to. An incident begins, is acknowledged and ends; at each of the three the process dies at every
place in turn and is started again. After that the receivers have each transition, in order, under one id, and exactly as
often as it was killed with the notice out and nothing written down. Then a receiver is away for a whole incident while
the process dies: it gets everything as well, once. Runs in the environment of tests/sdk/requirements.txt, on SQLite or,
with --database-url, on an empty PostgreSQL database.
"""

import argparse
import pathlib
import sys
import tempfile
import time

from aiosmtpd.controller import Controller

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "sdk"))

from receivers import Hook, Mailbox, call, eventually, expect
from running import Provider, Steward, free_port

# Incident and outbox are one transaction; then whoever sends is woken.
TOLD = ["alert_evaluator.telling", "alert_evaluator.told"]
# What goes to people together is made one message before the first attempt.
GATHERED = ["notifier.leased", "notifier.gathering", "notifier.gathered"]
# The receiver answered; its answer is kept; the row is marked, in a transaction.
SENT = ["notifier.sent", "notifier.kept", "notifier.settling", "notifier.settled"]
# Killed there, the receiver has the notice and nobody knows.
UNKNOWN = {"notifier.sent", "notifier.kept", "notifier.settling"}


class Mortal:
    """A Steward that dies where it is told to, and is started again."""

    def __init__(self, *arguments, directory, environment):
        self.fault = pathlib.Path(directory) / "fault"
        binary, database_url = arguments
        self.arguments = (binary, directory, database_url, {**environment, "STEWARD_FAULT_FILE": str(self.fault)})
        self.steward = Steward(*self.arguments)
        self.deaths = 0
        self.failed = self.succeeded = 0
        self.key = None

    def call(self, *what):
        return self.steward.call(*what)

    def dies_at(self, places, cause):
        """Killed at each of these places on the way of what `cause` begins, and started again."""
        self.fault.write_text(places[0])
        try:
            cause()
        except (OSError, RuntimeError):
            # It may die before it has answered; whether it died is asked next.
            pass
        for place, following in zip(places, [*places[1:], None]):
            process = self.steward.process
            expect(eventually(f"its death at {place}", process.poll), -9, f"what it died of at {place}")
            self.deaths += 1
            self.steward.log.close()
            # What was begun goes on as soon as it runs again, so it is told before it starts.
            if following:
                self.fault.write_text(following)
            else:
                self.fault.unlink()
            self.steward = Steward.__new__(Steward)
            try:
                self.steward.__init__(*self.arguments)
            except (OSError, RuntimeError):
                if not following:
                    raise

    def trouble(self):
        """Calls that fail, until they are the most."""
        while self.failed <= self.succeeded + 1:
            self.failed += 1
            call(self.steward, self.key, "gpt-4o+status=500")

    def recovery(self):
        while self.succeeded <= self.failed + 1:
            self.succeeded += 1
            call(self.steward, self.key, "gpt-4o")

    def watch(self, name, channel):
        rule = {"name": name, "condition": "error_rate > 0.5", "severity": "critical", "channels": [channel]}
        return self.call("POST", "ops/alerts/rules", rule)["id"]

    def incident(self):
        """The one that fires."""
        return eventually("an incident", lambda: self.call("GET", "ops/alerts/active")["items"])[0]["id"]

    def is_over(self):
        return not self.call("GET", "ops/alerts/active")["items"]


def dies_everywhere(mortal, name, channel, arrived, places):
    """An incident at each of whose transitions the process is killed at every place; `arrived` are the notices so far."""
    rule = mortal.watch(name, channel)

    def acknowledge():
        mortal.call("POST", f"ops/alerts/{mortal.incident()}/acknowledge", {})

    causes = [(mortal.trouble, TOLD + places), (acknowledge, places), (mortal.recovery, TOLD + places)]
    sent = 0
    for cause, on_the_way in causes:
        mortal.dies_at(on_the_way, cause)
        sent += 1 + len(UNKNOWN.intersection(on_the_way))
        eventually(f"{sent} notices of {name}", lambda: len(arrived()) >= sent)
    eventually(f"the end of {name}", mortal.is_over)
    mortal.call("DELETE", f"ops/alerts/rules/{rule}")
    return 1 + len(UNKNOWN.intersection(places))


def runs(items):
    """What stands in a row, and how often."""
    found = []
    for item in items:
        if found and found[-1][0] == item:
            found[-1][1] += 1
        else:
            found.append([item, 1])
    return found


def expect_each(told, words, times, what):
    """`told` is (id, word) as it arrived."""
    found = runs(told)
    expect([(word, count) for (_, word), count in found], [(word, times) for word in words], what)
    expect(len({name for (name, _), _ in found}), len(words), f"ids of {what}")


def webhooks(hook):
    return [(name, kind.removeprefix("alert.")) for name, kind, _, _ in hook.told]


def mails(mailbox):
    return [(mail["Message-ID"], mail["Subject"].split("]")[0].split(":")[0].strip("[")) for *_, mail in mailbox.mails]


def away(mortal, hook, channel):
    """The receiver comes back when all is over."""
    hook.told.clear()
    secrets, hook.secrets = hook.secrets, []
    rule = mortal.watch("away", channel)
    mortal.dies_at(TOLD + SENT, mortal.trouble)
    mortal.dies_at(TOLD, mortal.recovery)
    eventually("the end of away", mortal.is_over)
    expect(hook.told, [], "what was told to a receiver that was away")
    hook.secrets = secrets
    eventually("both transitions", lambda: len(hook.told) >= 2)
    mortal.call("DELETE", f"ops/alerts/rules/{rule}")
    expect_each(webhooks(hook), ["fired", "resolved"], 1, "what a receiver is told that was away")


def run(mortal, provider, mailbox, hook):
    account = {"name": "upstream", "provider": "fake", "protocol": "openai", "base_url": f"{provider.url}/v1", "api_key": "sk-upstream", "models": ["*"]}
    mortal.call("POST", "accounts", account)
    mortal.key = mortal.call("POST", "tokens", {"name": "app"})["token"]
    mortal.call("PUT", "ops/alerts/rules", {"rules": []})
    webhook = mortal.call("POST", "ops/alerts/channels", {"name": "hook", "kind": "webhook", "url": hook.url})
    hook.secrets.append(webhook["secret"])
    mail = mortal.call("POST", "ops/alerts/channels", {"name": "mail", "kind": "email", "to": ["ada@example.com"]})

    mortal.call("PUT", "ops/config/alerts", {"group_window_s": 0})
    times = dies_everywhere(mortal, "webhooks", webhook["id"], lambda: hook.told, ["notifier.leased", *SENT])
    expect_each(webhooks(hook), ["fired", "acknowledged", "resolved"], times, "webhooks")
    expect(mailbox.mails, [], "mails of another channel's rule")

    mortal.call("PUT", "ops/config/alerts", {"group_window_s": 1})
    times = dies_everywhere(mortal, "mails", mail["id"], lambda: mailbox.mails, GATHERED + SENT)
    expect_each(mails(mailbox), ["FIRING", "ACKNOWLEDGED", "RESOLVED"], times, "mails")

    away(mortal, hook, webhook["id"])


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--steward", required=True)
    options.add_argument("--provider", required=True)
    options.add_argument("--database-url")
    options = options.parse_args()
    began = time.monotonic()
    mailbox, hook = Mailbox(), Hook()
    # This relay puts nothing off.
    mailbox.put_off.append(None)
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
            mortal = Mortal(options.steward, options.database_url, directory=directory, environment=environment)
            try:
                run(mortal, provider, mailbox, hook)
            finally:
                mortal.steward.stop()
    finally:
        relay.stop()
        hook.server.shutdown()
    print(f"Killed {mortal.deaths} times in {time.monotonic() - began:.0f} s: each transition arrived, in order, under one id.")


if __name__ == "__main__":
    main()
