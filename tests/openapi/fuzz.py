"""The running server against its own OpenAPI document: no 5xx, nothing undocumented, and no panic in the log.

    build/venv/bin/python tests/openapi/fuzz.py --steward target/debug/steward --provider target/debug/examples/fake_provider

Same seed every time; `--seconds` bounds it. Schemathesis comes from the environment this runs in.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "sdk"))

from running import Provider, Steward

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# These end the run's own sign-in.
LEFT_OUT = r"/auth/(logout|password)|/auth/keys/"


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
            steward.create("accounts", {"name": "openai", "provider": "openai", "protocol": "openai", "base_url": f"{provider.url}/v1", "api_key": "k", "models": ["*"]})
            steward.create("tokens", {"name": "token"})
            key = steward.create("auth/keys", {"name": "fuzzing"})
            secret = key["key"]
            command = [
                sys.executable, "-m", "schemathesis.cli", "run", f"{steward.url}/openapi.json", "--url", steward.url,
                "--header", f"Authorization: Bearer {secret}", "--checks", CHECKS, "--exclude-path-regex", LEFT_OUT,
                "--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--max-time", str(options.seconds), "--seed", str(options.seed),
                "--request-timeout", "20", "--generation-database", "none", "--continue-on-failure", "--no-color", "--warnings", "off", *options.more,
            ]
            code = subprocess.run(command, cwd=directory, check=False).returncode
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
