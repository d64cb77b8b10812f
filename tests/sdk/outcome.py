"""How a scenario's outcome becomes something two runs can be compared by.

Runs with every SDK version under test, so it knows no SDK by name.
"""

import contextlib
import inspect
import time

import asyncio


async def settled(value):
    """The value itself, or what it resolves to: lets one scenario drive sync and async clients."""
    return await value if inspect.isawaitable(value) else value


async def each(stream):
    if hasattr(stream, "__aiter__"):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


@contextlib.asynccontextmanager
async def entered(manager):
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


def plain(value):
    """An SDK object as the caller sees it: every field, also those the SDK does not know."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def failure(error):
    """What an application can read off an SDK's exception."""
    seen = {"class": type(error).__name__}
    for name in ("status_code", "code", "type", "param", "message"):
        if hasattr(error, name):
            seen[name] = getattr(error, name)
    if hasattr(error, "body"):
        seen["body"] = error.body
    response = getattr(error, "response", None)
    if response is not None:
        for header in ("retry-after", "retry-after-ms", "x-should-retry"):
            seen[header] = response.headers.get(header)
        seen["names the request"] = bool(response.headers.get("x-request-id") or response.headers.get("request-id"))
    return seen


async def failing(call):
    """The failure of a call that must fail."""
    try:
        value = await settled(call())
    except Exception as error:  # noqa: BLE001 - whichever the SDK raises is the outcome
        return failure(error)
    return {"class": None, "value": plain(value)}


async def broken_stream(stream_call, only_that_it_broke=False):
    """How far a stream came and how it ended. Where the ways of breaking may differ, only that it broke is told."""
    count = 0
    try:
        async for _ in each(await settled(stream_call())):
            count += 1
    except Exception as error:  # noqa: BLE001
        name = "broke" if only_that_it_broke else type(error).__name__
        return {"items": count, "end": name, "message": None if only_that_it_broke else str(error)}
    return {"items": count, "end": "clean"}


async def until(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        await asyncio.sleep(0.02)
    return False
