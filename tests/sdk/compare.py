"""The official SDKs through Steward and directly: the same calls, the same outcomes.

    python3 tests/sdk/compare.py --steward target/debug/steward --provider target/debug/examples/fake_provider \
        --python build/venv/bin/python [--python build/venv-previous/bin/python] [--node tests/sdk/node]

Starts a fake provider and a Steward of its own on free loopback ports and stops them. Needs nothing but Python's library
itself; the SDKs live in the environments named. `--direct-only` checks the scenarios against the provider alone.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import scenarios
from running import Provider, Steward

HERE = pathlib.Path(__file__).parent


def accounts(provider):
    """One account for what works, and one for every model that fails: a breaker that opens must not reach the others."""
    for protocol, url, good in (("openai", f"{provider}/v1", scenarios.GOOD_MODELS), ("anthropic", provider, scenarios.GOOD_CLAUDE_MODELS)):
        base = {"provider": protocol, "protocol": protocol, "base_url": url, "api_key": "provider-secret-key"}
        yield {**base, "name": f"{protocol} good", "models": good}
        for number, model in enumerate(scenarios.FAILING_MODELS):
            yield {**base, "name": f"{protocol} {number}", "models": [model]}


def run_pass(command, where, provider, asynchronous, only):
    arguments = [*command, "--openai-url", where["openai"], "--anthropic-url", where["anthropic"], "--key", where["key"], "--provider", provider]
    if asynchronous:
        arguments.append("--asynchronous")
    if only:
        arguments += ["--only", only]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, timeout=420, check=False)
    if done.returncode != 0:
        return {"the pass": {"scenario raised": f"exit code {done.returncode}"}}
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"the pass": {"scenario raised": "no JSON", "text": done.stdout[:400].decode(errors="replace")}}


def differences(path, direct, through):
    """Where two outcomes part, as lines a person can read."""
    if isinstance(direct, dict) and isinstance(through, dict):
        for key in sorted(direct.keys() | through.keys(), key=str):
            yield from differences(f"{path}.{key}", direct.get(key, "<absent>"), through.get(key, "<absent>"))
    elif isinstance(direct, list) and isinstance(through, list) and len(direct) == len(through):
        for index, (a, b) in enumerate(zip(direct, through)):
            yield from differences(f"{path}[{index}]", a, b)
    elif direct != through:
        yield f"    {path}\n      directly: {json.dumps(direct, ensure_ascii=False)[:400]}\n      through:  {json.dumps(through, ensure_ascii=False)[:400]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steward")
    parser.add_argument("--provider", required=True)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--node")
    parser.add_argument("--only", default="")
    parser.add_argument("--direct-only", action="store_true")
    options = parser.parse_args()

    commands = [([python, str(HERE / "one_pass.py")], asynchronous) for python in options.python for asynchronous in (False, True)]
    if options.node:
        commands.append((["node", str(pathlib.Path(options.node) / "one_pass.mjs")], False))

    passed = failed = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, Provider(options.provider) as provider:
        direct_at = {"openai": f"{provider.url}/v1", "anthropic": provider.url, "key": "provider-secret-key"}
        steward = None if options.direct_only else Steward(options.steward, directory)
        try:
            for command, asynchronous in commands:
                title = f"{os.path.relpath(command[0]) if '/' in command[0] else command[0]} {'async' if asynchronous else 'sync'}"
                direct = run_pass(command, direct_at, provider.url, asynchronous, options.only)
                if steward:
                    made = [steward.create("accounts", account) for account in accounts(provider.url)]
                    token = steward.create("tokens", {"name": title})["token"]
                    through_at = {"openai": f"{steward.url}/v1", "anthropic": steward.url, "key": token}
                    through = run_pass(command, through_at, provider.url, asynchronous, options.only)
                    for account in made:
                        steward.delete(f"accounts/{account['id']}")
                else:
                    through = direct
                for name, outcome in direct.items():
                    found = list(differences("", outcome, through.get(name, "<absent>")))
                    if isinstance(outcome, dict) and "scenario raised" in outcome:
                        found = [f"    fails directly: {outcome}"]
                    if found:
                        failed += 1
                        print(f"FAILED {title}: {name}", *found[:12], sep="\n")
                    else:
                        passed += 1
        finally:
            if steward:
                steward.stop()
    print(f"SDK conformance: {passed} passed, {failed} failed in {time.monotonic() - began:.0f} s")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
