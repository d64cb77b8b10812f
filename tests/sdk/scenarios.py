"""What applications do with the official Python SDKs; each scenario returns what the application saw.

A scenario takes `on` (the clients and the provider's view) and serves the sync and the async clients alike. It must not
mention Steward: the same code runs against the provider directly and through Steward, and the outcomes must be equal.
"""

import asyncio

from outcome import broken_stream, each, entered, failing, plain, settled, until

HELLO = [{"role": "user", "content": "Say hello, naïvely. 你好"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
OPENAI_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLAUDE_TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OPENAI_HEADERS = ("openai-organization", "openai-processing-ms", "openai-version", "x-ratelimit-limit-requests", "x-unknown-provider-header")
CLAUDE_HEADERS = ("request-id", "anthropic-organization-id", "anthropic-ratelimit-requests-limit", "x-unknown-provider-header")

# Models whose calls fail; each gets an account of its own, so that one's failures say nothing about another.
ERRORS = {f"{status} {how}": f"broken-{how}+status={status}" + ("+retry_after=7+retry_after_ms=7000" if status in (429, 503, 529) else "")
          for status in (400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 529) for how in ("whole", "streamed")}
RECOVERS = "recovers+fail_times=1+status=429+retry_after_ms=10"
CUT = "cut+cut_after=4"
ERROR_EVENT = "told+error_after=4"
SLOW = "slow+delay_ms=4000"
HANGS = "hangs+hang_after=3"
LONG = "long+n=400+pause_ms=20"
# A call to one of these ends badly, or is ended badly.
FAILING_MODELS = [*ERRORS.values(), RECOVERS, CUT, ERROR_EVENT, SLOW, HANGS, LONG]

GOOD_MODELS = ["gpt-4o", "gpt-4o+piece_bytes=1+comments+crlf", "gpt-4o+gzip", "gpt-4o+big=3000000", *(f"gpt-4o+n={n}" for n in range(1, 8)),
               "gpt-3.5-turbo-instruct", "text-embedding-3-small"]
GOOD_CLAUDE_MODELS = ["claude-sonnet-4-5", "claude-sonnet-4-5+piece_bytes=7+comments", "claude-sonnet-4-5+gzip"]

OPENAI, CLAUDE = {}, {}


def openai(scenario):
    OPENAI[scenario.__name__] = scenario
    return scenario


def claude(scenario):
    CLAUDE["claude_" + scenario.__name__] = scenario
    return scenario


# --- OpenAI ---------------------------------------------------------------------------------------------------------


@openai
async def chat(on):
    answer = await settled(on.openai.chat.completions.create(model="gpt-4o", messages=HELLO, user="user-1", extra_body={"x_new_parameter": {"deep": [1.50, None]}}))
    return plain(answer), on.body_sent("gpt-4o")


@openai
async def chat_headers(on):
    raw = await settled(on.openai.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO))
    return {name: raw.headers.get(name) for name in OPENAI_HEADERS}, raw.status_code, bool(raw.headers.get("x-request-id"))


@openai
async def chat_stream(on):
    stream = await settled(on.openai.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
    return [plain(chunk) async for chunk in each(stream)]


@openai
async def chat_stream_with_usage(on):
    stream = await settled(on.openai.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}))
    return [plain(chunk) async for chunk in each(stream)], on.body_sent("gpt-4o")


@openai
async def chat_stream_in_single_bytes(on):
    stream = await settled(on.openai.chat.completions.create(model="gpt-4o+piece_bytes=1+comments+crlf", messages=HELLO, stream=True))
    return [plain(chunk) async for chunk in each(stream)]


@openai
async def chat_compressed(on):
    whole = await settled(on.openai.chat.completions.create(model="gpt-4o+gzip", messages=HELLO))
    stream = await settled(on.openai.chat.completions.create(model="gpt-4o+gzip", messages=HELLO, stream=True))
    return plain(whole), [plain(chunk) async for chunk in each(stream)]


@openai
async def chat_large(on):
    messages = [{"role": "user", "content": "text " * 400_000}]
    answer = await settled(on.openai.chat.completions.create(model="gpt-4o+big=3000000", messages=messages))
    return len(answer.choices[0].message.content), answer.usage.total_tokens


@openai
async def chat_tools(on):
    first = await settled(on.openai.chat.completions.create(model="gpt-4o", messages=HELLO, tools=[OPENAI_TOOL], tool_choice="auto"))
    call = first.choices[0].message.tool_calls[0]
    messages = [*HELLO, plain(first.choices[0].message), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = await settled(on.openai.chat.completions.create(model="gpt-4o", messages=messages, tools=[OPENAI_TOOL]))
    stream = await settled(on.openai.chat.completions.create(model="gpt-4o", messages=HELLO, tools=[OPENAI_TOOL], stream=True))
    return plain(first), plain(second), [plain(chunk) async for chunk in each(stream)]


@openai
async def chat_vision(on):
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}}]
    answer = await settled(on.openai.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": parts}]))
    return plain(answer), on.body_sent("gpt-4o")


@openai
async def responses(on):
    answer = await settled(on.openai.responses.create(model="gpt-4o", input="Hello"))
    return plain(answer), answer.output_text, on.body_sent("gpt-4o")


@openai
async def responses_stream(on):
    stream = await settled(on.openai.responses.create(model="gpt-4o", input="Hello", stream=True))
    events = [plain(event) async for event in each(stream)]
    return events, [event["sequence_number"] for event in events]


@openai
async def responses_tools(on):
    tool = {"type": "function", "name": "get_weather", "parameters": OPENAI_TOOL["function"]["parameters"], "strict": False}
    answer = await settled(on.openai.responses.create(model="gpt-4o", input=HELLO, tools=[tool]))
    stream = await settled(on.openai.responses.create(model="gpt-4o", input=HELLO, tools=[tool], stream=True))
    return plain(answer), [plain(event) async for event in each(stream)]


@openai
async def completions(on):
    answer = await settled(on.openai.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hello"))
    stream = await settled(on.openai.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hello", stream=True))
    return plain(answer), [plain(chunk) async for chunk in each(stream)]


@openai
async def embeddings(on):
    by_default = await settled(on.openai.embeddings.create(model="text-embedding-3-small", input=["one", "two"]))
    floats = await settled(on.openai.embeddings.create(model="text-embedding-3-small", input="one", encoding_format="float"))
    return plain(by_default), plain(floats), on.body_sent("text-embedding-3-small")


@openai
async def models(on):
    listed = [plain(model) async for model in each(await settled(on.openai.models.list()))]
    one = plain(await settled(on.openai.models.retrieve("gpt-4o")))
    return {"names of fields": sorted(listed[0]), "has gpt-4o": any(m["id"] == "gpt-4o" for m in listed), "one": (one["id"], one["object"])}


@openai
async def errors(on):
    def call(name, model):
        return lambda: on.openai.chat.completions.create(model=model, messages=HELLO, stream=name.endswith("streamed"))

    return {name: await failing(call(name, model)) for name, model in ERRORS.items()}


@openai
async def wrong_key(on):
    seen = await failing(lambda: on.openai.with_options(api_key="sk-invalid").chat.completions.create(model="gpt-4o", messages=HELLO))
    return seen["class"], seen["status_code"], seen["code"]


@openai
async def retried_by_the_sdk(on):
    answer = await settled(on.openai.with_options(max_retries=2).chat.completions.create(model=RECOVERS, messages=HELLO))
    return answer.choices[0].message.content


@openai
async def timeouts(on):
    patient = on.openai.with_options(timeout=0.7)
    seen = await failing(lambda: patient.chat.completions.create(model=SLOW, messages=HELLO))
    left = await until(lambda: on.caller_left(SLOW), 1.5)
    stream = await broken_stream(lambda: patient.chat.completions.create(model=HANGS, messages=HELLO, stream=True))
    stream_left = await until(lambda: on.caller_left(HANGS), 1.5)
    return seen["class"], left, stream, stream_left


@openai
async def leaves_early(on):
    stream = await settled(on.openai.chat.completions.create(model=LONG, messages=HELLO, stream=True))
    count = 0
    async for _ in each(stream):
        count += 1
        if count == 3:
            break
    await settled(stream.close())
    return count, await until(lambda: on.caller_left(LONG), 1.5)


@openai
async def cut_by_the_provider(on):
    return await broken_stream(lambda: on.openai.chat.completions.create(model=CUT, messages=HELLO, stream=True), only_that_it_broke=True)


@openai
async def error_event(on):
    return await broken_stream(lambda: on.openai.chat.completions.create(model=ERROR_EVENT, messages=HELLO, stream=True))


@openai
async def in_parallel(on):
    async def one(number):
        if on.is_async:
            answer = await on.openai.chat.completions.create(model=f"gpt-4o+n={1 + number % 7}", messages=HELLO)
        else:
            answer = await asyncio.to_thread(on.openai.chat.completions.create, model=f"gpt-4o+n={1 + number % 7}", messages=HELLO)
        return answer.usage.completion_tokens

    return await asyncio.gather(*(one(number) for number in range(24)))


# --- Anthropic ------------------------------------------------------------------------------------------------------


def message(on, model="claude-sonnet-4-5", **more):
    return on.claude.messages.create(model=model, max_tokens=64, messages=more.pop("messages", HELLO), **more)


@claude
async def messages(on):
    answer = await settled(message(on, system="Be brief", metadata={"user_id": "user-1"}, extra_body={"thinking": {"type": "adaptive"}, "x_new": [1.0]}))
    return plain(answer), on.body_sent("claude-sonnet-4-5")


@claude
async def headers(on):
    raw = await settled(on.claude.messages.with_raw_response.create(model="claude-sonnet-4-5", max_tokens=8, messages=HELLO, extra_headers={"anthropic-beta": "new-thing-2026-01-01"}))
    return {name: raw.headers.get(name) for name in CLAUDE_HEADERS}, on.headers_sent("claude-sonnet-4-5", ("anthropic-version", "anthropic-beta"))


@claude
async def stream(on):
    events = [plain(event) async for event in each(await settled(message(on, stream=True)))]
    return events, on.body_sent("claude-sonnet-4-5")


@claude
async def stream_helper(on):
    async with entered(on.claude.messages.stream(model="claude-sonnet-4-5", max_tokens=64, messages=HELLO)) as stream:
        text = "".join([part async for part in each(stream.text_stream)])
        return text, plain(await settled(stream.get_final_message()))


@claude
async def stream_in_odd_pieces(on):
    whole = [plain(event) async for event in each(await settled(message(on, model="claude-sonnet-4-5+piece_bytes=7+comments", stream=True)))]
    return whole


@claude
async def compressed(on):
    whole = plain(await settled(message(on, model="claude-sonnet-4-5+gzip")))
    return whole, [plain(event) async for event in each(await settled(message(on, model="claude-sonnet-4-5+gzip", stream=True)))]


@claude
async def tools(on):
    first = await settled(message(on, tools=[CLAUDE_TOOL]))
    use = first.content[0]
    turn = [*HELLO, {"role": "assistant", "content": [{"type": "tool_use", "id": use.id, "name": use.name, "input": use.input}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]}]
    second = await settled(message(on, messages=turn, tools=[CLAUDE_TOOL]))
    async with entered(on.claude.messages.stream(model="claude-sonnet-4-5", max_tokens=64, messages=HELLO, tools=[CLAUDE_TOOL])) as stream:
        streamed = plain(await settled(stream.get_final_message()))
    return plain(first), plain(second), streamed


@claude
async def vision(on):
    parts = [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}, {"type": "text", "text": "What is this?"}]
    answer = await settled(message(on, messages=[{"role": "user", "content": parts}]))
    return plain(answer), on.body_sent("claude-sonnet-4-5")


@claude
async def count_tokens(on):
    return plain(await settled(on.claude.messages.count_tokens(model="claude-sonnet-4-5", messages=HELLO)))


@claude
async def models_listed(on):
    listed = [plain(model) async for model in each(await settled(on.claude.models.list()))]
    one = plain(await settled(on.claude.models.retrieve("claude-sonnet-4-5")))
    has = any(m["id"] == "claude-sonnet-4-5" for m in listed)
    return {"has it": has, "type": listed[0]["type"], "dated": bool(listed[0]["created_at"]), "named": bool(listed[0]["display_name"]), "one": (one["id"], one["type"])}


@claude
async def errors_told(on):
    def call(name, model):
        return lambda: message(on, model=model, stream=name.endswith("streamed"))

    return {name: await failing(call(name, model)) for name, model in ERRORS.items()}


@claude
async def wrong_api_key(on):
    seen = await failing(lambda: on.claude.with_options(api_key="sk-invalid").messages.create(model="claude-sonnet-4-5", max_tokens=8, messages=HELLO))
    return seen["class"], seen["status_code"], seen["body"]["error"]["type"]


@claude
async def retried(on):
    answer = await settled(on.claude.with_options(max_retries=2).messages.create(model=RECOVERS, max_tokens=8, messages=HELLO))
    return answer.content[0].text


@claude
async def timed_out(on):
    patient = on.claude.with_options(timeout=0.7)
    seen = await failing(lambda: patient.messages.create(model=SLOW, max_tokens=8, messages=HELLO))
    left = await until(lambda: on.caller_left(SLOW), 1.5)
    stream = await broken_stream(lambda: patient.messages.create(model=HANGS, max_tokens=8, messages=HELLO, stream=True))
    return seen["class"], left, stream, await until(lambda: on.caller_left(HANGS), 1.5)


@claude
async def leaves(on):
    stream = await settled(message(on, model=LONG, stream=True))
    count = 0
    async for _ in each(stream):
        count += 1
        if count == 3:
            break
    await settled(stream.close())
    return count, await until(lambda: on.caller_left(LONG), 1.5)


@claude
async def cut(on):
    return await broken_stream(lambda: message(on, model=CUT, stream=True), only_that_it_broke=True)


@claude
async def error_told_in_the_stream(on):
    return await broken_stream(lambda: message(on, model=ERROR_EVENT, stream=True))
