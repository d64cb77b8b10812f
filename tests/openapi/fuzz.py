"""The running server against its own OpenAPI document: no 5xx, nothing undocumented, and no panic in the log.

    build/venv/bin/python tests/openapi/fuzz.py --steward target/debug/steward --provider target/debug/examples/fake_provider

Same seed every time; `--seconds` bounds it. Schemathesis comes from the environment this runs in. The two faces have
callers of their own: an operator's key for the control face, an application's token for the gateway, which gets a third
of the time, since most of what it answers is the provider's.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "sdk"))

from running import Provider, Steward

CONFORMANCE = "status_code_conformance,content_type_conformance,response_schema_conformance"
CONTROL_CHECKS = f"not_a_server_error,{CONFORMANCE}"
# Some generated model names script the fake provider to break off, and 502 is the right answer then; that none was a 500 is
# read from the books.
GATEWAY_CHECKS = CONFORMANCE
GATEWAY = "^/v1/"
# These end the run's own sign-in.
LEFT_OUT = r"/auth/(logout|password)|/auth/keys/"


def fuzz(steward, directory, options, secret, seconds, checks, *selection):
    """One run of schemathesis with one caller's secret; answers its exit code."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{steward.url}/openapi.json", "--url", steward.url,
        "--header", f"Authorization: Bearer {secret}", "--checks", checks, *selection,
        "--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--max-time", str(seconds), "--seed", str(options.seed),
        "--request-timeout", "20", "--generation-database", "none", "--continue-on-failure", "--no-color", "--warnings", "off", *options.more,
    ]
    return subprocess.run(command, cwd=directory, check=False).returncode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steward", required=True)
    parser.add_argument("--provider", required=True)
    parser.add_argument("--seconds", type=int, default=75)
    parser.add_argument("--seed", type=int, default=20_251_120)
    parser.add_argument("more", nargs="*", help="further arguments for schemathesis, after --")
    options = parser.parse_args()

    # Fuzzing asks more often than people do.
    environment = {"STEWARD__API__RATE_LIMIT_PER_OPERATOR": "10000000", "STEWARD__API__RATE_LIMIT_PER_ADDRESS": "10000000"}
    with tempfile.TemporaryDirectory() as directory, Provider(options.provider) as provider:
        steward = Steward(options.steward, directory, environment=environment)
        try:
            # Something to find in every list.
            openai = {"name": "openai", "provider": "openai", "protocol": "openai", "base_url": f"{provider.url}/v1", "api_key": "k", "models": ["*"]}
            steward.create("accounts", openai)
            anthropic = {"name": "anthropic", "provider": "anthropic", "protocol": "anthropic", "base_url": provider.url, "api_key": "k", "models": ["*"]}
            steward.create("accounts", anthropic)
            token = steward.create("tokens", {"name": "token"})["token"]
            key = steward.create("auth/keys", {"name": "fuzzing"})
            secret = key["key"]
            # First: the fuzzed control face may delete the accounts and the token.
            gateway = fuzz(steward, directory, options, token, options.seconds // 3, GATEWAY_CHECKS, "--include-path-regex", GATEWAY)
            steward.access_token = secret
            internal = steward.call("GET", "logs/requests?status_code=500&limit=1")["items"]
            if internal:
                print(f"FAILED a call ended as a 500: {internal[0]}")
                gateway = 1
            control = fuzz(steward, directory, options, secret, options.seconds, CONTROL_CHECKS, "--exclude-path-regex", f"{LEFT_OUT}|{GATEWAY}")
            code = gateway or control
            # The fuzzer may have ended the session of this run, as any administrator may; the server must still serve,
            # and the key it used must still open: a run that locked itself out would have tested little.
            with urllib.request.urlopen(f"{steward.url}/readyz", timeout=10) as answer:
                answer.read()
            steward.access_token = secret
            steward.call("GET", "tokens")
            log = pathlib.Path(directory, "steward.log").read_text(errors="replace")
            panics = [line for line in log.splitlines() if "panicked" in line]
            for line in panics[:10]:
                print(f"FAILED a panic in the log: {line}")
            sys.exit(1 if panics else code)
        finally:
            steward.stop()


if __name__ == "__main__":
    main()
