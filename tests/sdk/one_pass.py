"""One pass: every scenario with one SDK version, sync or async, against one address. Prints the outcomes as JSON.

Run by `compare.py`, with the interpreter of the environment whose SDKs are meant.
"""

import argparse
import asyncio
import json
import sys
import traceback
import urllib.request

import anthropic
import openai

import scenarios


class On:
    """What a scenario works with: the clients, and the provider's view of what they sent."""

    def __init__(self, options):
        self.is_async = options.asynchronous
        openai_class = openai.AsyncOpenAI if self.is_async else openai.OpenAI
        claude_class = anthropic.AsyncAnthropic if self.is_async else anthropic.Anthropic
        self.openai = openai_class(base_url=options.openai_url, api_key=options.key, max_retries=0, timeout=30)
        self.claude = claude_class(base_url=options.anthropic_url, api_key=options.key, max_retries=0, timeout=30)
        self.provider = options.provider

    def _control(self, path):
        with urllib.request.urlopen(f"{self.provider}/__fake/{path}") as answer:
            return json.load(answer)

    def forget(self):
        self._control("forget")

    def _last(self, model):
        needle = json.dumps(model)
        return [r for r in self._control("requests") if f'"model":{needle}' in r["body"].replace('": "', '":"')][-1]

    def body_sent(self, model):
        return self._last(model)["body"]

    def headers_sent(self, model, names):
        return {n.lower(): v for n, v in self._last(model)["headers"] if n.lower() in names}

    def caller_left(self, model):
        return self._last(model)["ending"] == "CallerLeft"


async def run(options):
    on = On(options)
    outcomes = {}
    for name, scenario in {**scenarios.OPENAI, **scenarios.CLAUDE}.items():
        if options.only and options.only not in name:
            continue
        on.forget()
        try:
            outcomes[name] = await asyncio.wait_for(scenario(on), 60)
        except Exception as error:  # noqa: BLE001 - a scenario that fails is an outcome too
            outcomes[name] = {"scenario raised": type(error).__name__, "text": str(error)[:500]}
            traceback.print_exc(file=sys.stderr)
    return outcomes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--openai-url", required=True)
    parser.add_argument("--anthropic-url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--provider", required=True)
    parser.add_argument("--asynchronous", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    json.dump(asyncio.run(run(options)), sys.stdout, default=str)


if __name__ == "__main__":
    main()
