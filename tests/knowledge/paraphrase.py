"""Knowledge with a real embedding model: a question in other words finds its pair, and a chat call is given it.

    build/venv-knowledge/bin/python tests/knowledge/paraphrase.py --steward target/debug/steward --provider target/debug/examples/fake_provider
        [--pgvector postgres://…]

The model is all-MiniLM-L6-v2 (`minilm.py`), called over HTTP as an account like any other. The vectors lie in the memory of the
process; with `--pgvector` also, in a second run, in a database of that server.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "sdk"))

import minilm
from running import Provider, Steward

PATIENCE_S = 60
PAIRS = {
    "How do I reset my password?": "Choose “Forgotten password” on the sign-in page.",
    "What are your opening hours?": "Monday to Saturday, nine to six.",
    "Can I return a kimono that does not fit?": "Within seven days, unworn.",
    "How much does delivery cost?": "Five euros; nothing above fifty.",
    "Which payment methods do you accept?": "Cards, bank transfer and cash.",
    "Do you ship to other countries?": "To all of Europe and to Japan.",
    "How do I cancel my subscription?": "Under “Plan”, at any time.",
    "Where can I see my invoices?": "Under “Billing”.",
    "Is there a discount for students?": "Ten per cent, with a card.",
    "How is a silk obi cleaned?": "Only dry, by us.",
    "Who do I call when the app crashes?": "The support line, day and night.",
    "How long does a fitting take?": "About an hour.",
}
IN_OTHER_WORDS = {
    "I forgot my login credentials, what now?": "How do I reset my password?",
    "When is the shop open?": "What are your opening hours?",
    "The garment is too small, can I send it back?": "Can I return a kimono that does not fit?",
    "What do you charge for shipping?": "How much does delivery cost?",
    "May I pay with a credit card?": "Which payment methods do you accept?",
    "Is international shipping available?": "Do you ship to other countries?",
    "I want to end my membership": "How do I cancel my subscription?",
    "where do i find my bills": "Where can I see my invoices?",
}
# Near to none of them.
ELSEWHERE = "The orbit of Neptune's largest moon is retrograde."


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


def eventually(what, ask):
    """What `ask` answers, once it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = ask()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S} s in vain: {what}")


def chat(steward, key, words):
    """A call of an application: its id, and how many pairs it was given."""
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": words}]}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{steward.url}/v1/chat/completions", body, headers), timeout=30) as answer:
        answer.read()
        return answer.headers["x-request-id"], answer.headers["x-steward-knowledge"]


def run(steward, provider, model):
    account = {"name": "model", "provider": "local", "protocol": "openai", "base_url": f"http://127.0.0.1:{model.server_port}/v1"}
    steward.create("accounts", {**account, "api_key": "none", "models": [minilm.MODEL]})
    account = {"name": "chat", "provider": "fake", "protocol": "openai", "base_url": f"{provider.url}/v1"}
    steward.create("accounts", {**account, "api_key": "sk-upstream", "models": ["gpt-*"]})
    tenant = steward.create("ops/tenants", {"name": "Kimono Ota"})["id"]
    other = steward.create("ops/tenants", {"name": "Kimono Abe"})["id"]
    ids = {}
    for question, answer in PAIRS.items():
        ids[question] = steward.create("ops/knowledge/qa-pairs", {"tenant_id": tenant, "question": question, "answer": answer})["id"]
    # What another tenant knows is nobody else's.
    for question in IN_OTHER_WORDS:
        steward.create("ops/knowledge/qa-pairs", {"tenant_id": other, "question": question, "answer": "Ours."})
    steward.call("POST", "ops/knowledge/sync")
    eventually("all is synchronised", lambda: steward.call("GET", "ops/knowledge/sync/status")["waiting_count"] == 0)

    for words, wanted in IN_OTHER_WORDS.items():
        asked = {"query": words, "tenant_id": tenant, "top_k": 3, "min_score": 0.3}
        found = steward.create("knowledge/search", asked)["items"]
        expect(found[0]["pair"]["question"], wanted, f"what is nearest to “{words}”")
        expect({one["pair"]["tenant_id"] for one in found}, {tenant}, "whose they are")
    asked = {"query": ELSEWHERE, "tenant_id": tenant, "top_k": 3, "min_score": 0.3}
    expect(steward.create("knowledge/search", asked)["items"], [], "what is near to something else altogether")

    key = steward.create("tokens", {"name": "app", "tenant_id": tenant, "knowledge": True})["token"]
    words, wanted = "I forgot my login credentials, what now?", "How do I reset my password?"
    steward.call("PUT", "ops/config/rag", {"min_score": 0.4, "top_k": 1})
    call, given = eventually("the model answers in time", lambda: given_in_time(steward, key, words))
    expect(given, "1", "how many pairs the call was given")
    record = eventually("the call is on the books", lambda: one_call(steward, call))
    expect([one["id"] for one in record["knowledge"]["pairs"]], [ids[wanted]], "which pairs the record names")


def given_in_time(steward, key, words):
    """A call for which the model was fast enough. While the machine is too busy for that, calls go without pairs, as they should."""
    call, given = chat(steward, key, words)
    return (call, given) if given != "timed_out" else None


def one_call(steward, call):
    found = steward.call("GET", "logs/requests?limit=20")["items"]
    return steward.call("GET", f"logs/requests/{call}") if any(one["id"] == call for one in found) else None


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--steward", required=True)
    options.add_argument("--provider", required=True)
    options.add_argument("--pgvector")
    options = options.parse_args()
    places = {"in memory": {}}
    if options.pgvector:
        places["in PostgreSQL with pgvector"] = {
            "STEWARD__VECTOR_STORE__KIND": "pgvector",
            "STEWARD__VECTOR_STORE__URL": f"{options.pgvector}?sslmode=disable",
        }
    model = minilm.serve(minilm.Encoder())
    for place, environment in places.items():
        with Provider(options.provider) as provider, tempfile.TemporaryDirectory() as directory:
            steward = Steward(options.steward, directory, environment={"STEWARD__RAG__EMBEDDING_MODEL": minilm.MODEL, **environment})
            try:
                run(steward, provider, model)
                status = steward.call("GET", "ops/knowledge/sync/status")
                expect("store" in status and bool(status["store"] and status["store"]["answers"]), bool(environment), "whether a store answers")
            finally:
                steward.stop()
        print(f"{len(IN_OTHER_WORDS)} questions in other words found their pairs, {place}.")
    model.shutdown()


if __name__ == "__main__":
    main()
