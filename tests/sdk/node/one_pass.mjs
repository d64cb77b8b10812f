// One pass with the Vercel AI SDK: every scenario against one address; prints the outcomes as JSON. Run by ../compare.py.
//
// Must not mention Steward: the same calls go to the provider directly and through Steward, and are compared.
import { parseArgs } from "node:util";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { embed, embedMany, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const { values: options } = parseArgs({
  options: { "openai-url": { type: "string" }, "anthropic-url": { type: "string" }, key: { type: "string" }, provider: { type: "string" }, only: { type: "string", default: "" } },
});

const openai = createOpenAI({ baseURL: options["openai-url"], apiKey: options.key });
const claude = createAnthropic({ baseURL: `${options["anthropic-url"]}/v1`, apiKey: options.key });
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const prompt = "Say hello, naïvely. 你好";
const maxRetries = 0;
globalThis.AI_SDK_LOG_WARNINGS = false; // they would go to standard output, which carries the outcomes
const weather = tool({
  description: "The weather in a city",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
  execute: async ({ city }) => `sunny in ${city}`,
});

const control = async (path) => (await fetch(`${options.provider}/__fake/${path}`)).json();
// By its model: a gateway on the way may look after the provider's health with requests of its own.
const lastOf = async (model) => (await control("requests")).filter((r) => r.body.includes(JSON.stringify(model))).at(-1);
const callerLeft = async (model) => {
  const deadline = Date.now() + 1500;
  while (Date.now() < deadline) {
    if ((await lastOf(model))?.ending === "CallerLeft") return true;
    await new Promise((wake) => setTimeout(wake, 20));
  }
  return false;
};

const summary = (result) => ({
  text: result.text, finishReason: result.finishReason, usage: result.usage, toolCalls: result.toolCalls?.map((c) => [c.toolName, c.input]),
  toolResults: result.toolResults?.map((r) => r.output), steps: result.steps?.length, model: result.response?.modelId, id: result.response?.id,
});

async function streamed(call) {
  const parts = [];
  let failed = null;
  const result = streamText({ ...call, maxRetries, onError: ({ error }) => { failed ??= describe(error); } });
  try {
    for await (const part of result.fullStream) parts.push(part.type === "text-delta" ? `text:${part.text}` : part.type);
  } catch (error) {
    failed ??= describe(error);
  }
  return { parts, failed, usage: failed ? null : await result.usage };
}

const describe = (error) => ({ name: error.name, status: error.statusCode, retryable: error.isRetryable, data: error.data, message: error.message });

async function failing(call) {
  try {
    return { value: summary(await call()) };
  } catch (error) {
    return describe(error);
  }
}

function scenariosOf(name, good, failingModel) {
  return {
    [`${name} text`]: async () => [summary(await generateText({ model: good, prompt, maxRetries })), (await lastOf(good.modelId)).body],
    [`${name} stream`]: () => streamed({ model: good, prompt }),
    [`${name} tools`]: async () => summary(await generateText({ model: good, prompt, maxRetries, tools: { get_weather: weather }, stopWhen: stepCountIs(3) })),
    [`${name} tools streamed`]: () => streamed({ model: good, prompt, tools: { get_weather: weather }, stopWhen: stepCountIs(3) }),
    [`${name} vision`]: async () =>
      [summary(await generateText({ model: good, maxRetries, messages: [{ role: "user", content: [{ type: "text", text: "What?" }, { type: "image", image: PIXEL, mediaType: "image/png" }] }] })), (await lastOf(good.modelId)).body],
    [`${name} errors`]: async () => {
      const seen = {};
      for (const status of [400, 401, 403, 404, 429, 500, 503, 529]) {
        const retry = [429, 503, 529].includes(status) ? "+retry_after=7+retry_after_ms=7000" : "";
        seen[status] = await failing(() => generateText({ model: failingModel(`broken-${name.includes("chat") ? "streamed" : "whole"}+status=${status}${retry}`), prompt, maxRetries }));
      }
      return seen;
    },
    [`${name} time-out`]: async () => {
      const model = "slow+delay_ms=4000";
      const seen = await failing(() => generateText({ model: failingModel(model), prompt, maxRetries, abortSignal: AbortSignal.timeout(700) }));
      return [seen.name, await callerLeft(model)];
    },
    [`${name} leaves`]: async () => {
      const model = "long+n=400+pause_ms=20";
      const abort = new AbortController();
      let count = 0;
      const result = streamText({ model: failingModel(model), prompt, maxRetries, abortSignal: abort.signal });
      for await (const part of result.fullStream) {
        if (part.type === "text-delta" && ++count === 3) abort.abort();
      }
      return await callerLeft(model);
    },
    [`${name} error in the stream`]: () => streamed({ model: failingModel("told+error_after=4"), prompt }),
    [`${name} cut`]: async () => Boolean((await streamed({ model: failingModel("cut+cut_after=4"), prompt })).failed),
  };
}

const scenarios = {
  ...scenariosOf("vercel openai responses", openai("gpt-4o"), (model) => openai(model)),
  ...scenariosOf("vercel openai chat", openai.chat("gpt-4o"), (model) => openai.chat(model)),
  ...scenariosOf("vercel anthropic", claude("claude-sonnet-4-5"), (model) => claude(model)),
  "vercel embeddings": async () => {
    const model = openai.embedding("text-embedding-3-small");
    const one = await embed({ model, value: "one", maxRetries });
    const many = await embedMany({ model, values: ["one", "two"], maxRetries });
    return [one.embedding, one.usage, many.embeddings, many.usage];
  },
  "vercel wrong key": async () => {
    const seen = await failing(() => generateText({ model: createOpenAI({ baseURL: options["openai-url"], apiKey: "sk-invalid" })("gpt-4o"), prompt, maxRetries }));
    return [seen.name, seen.status];
  },
};

const outcomes = {};
for (const [name, scenario] of Object.entries(scenarios)) {
  if (!name.includes(options.only)) continue;
  await control("forget");
  try {
    outcomes[name] = await scenario();
  } catch (error) {
    outcomes[name] = { "scenario raised": error.name, text: String(error.message) };
    console.error(name, error);
  }
}
process.stdout.write(JSON.stringify(outcomes));
