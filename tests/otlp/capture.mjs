// Makes vercel_ai.json (OTLP's JSON) beside this file: what the Vercel AI SDK's telemetry sends for calls of the fake
// provider.
//
//   cargo build --example fake_provider
//   npm install ai @ai-sdk/openai @ai-sdk/anthropic @opentelemetry/sdk-trace-node @opentelemetry/sdk-trace-base \
//     @opentelemetry/exporter-trace-otlp-http @opentelemetry/resources
//   node tests/otlp/capture.mjs PATH_OF_FAKE_PROVIDER   (from where the packages are installed)
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const installed = createRequire(join(process.cwd(), 'package.json'))
const load = (name) => import(pathToFileURL(installed.resolve(name)).href)
const { NodeTracerProvider } = await load('@opentelemetry/sdk-trace-node')
const { BatchSpanProcessor } = await load('@opentelemetry/sdk-trace-base')
const { OTLPTraceExporter } = await load('@opentelemetry/exporter-trace-otlp-http')
const { resourceFromAttributes } = await load('@opentelemetry/resources')
const { embed, generateText, streamText } = await load('ai')
const { createOpenAI } = await load('@ai-sdk/openai')
const { createAnthropic } = await load('@ai-sdk/anthropic')

const bodies = []
const receiver = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    bodies.push(Buffer.concat(chunks))
    response.setHeader('content-type', 'application/json').end('{}')
  })
}).listen(0, '127.0.0.1')
await once(receiver, 'listening')

const fake = spawn(process.argv[2], ['127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] })
const [line] = await once(fake.stdout, 'data')
const base = String(line).trim()
try {
  const exporter = new OTLPTraceExporter({ url: `http://127.0.0.1:${receiver.address().port}/v1/traces` })
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'shop' }),
    spanProcessors: [new BatchSpanProcessor(exporter, { maxExportBatchSize: 512 })],
  })
  provider.register()
  const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey: 'sk-test' })
  const anthropic = createAnthropic({ baseURL: `${base}/v1`, apiKey: 'sk-test' })
  const experimental_telemetry = {
    isEnabled: true,
    recordInputs: false,
    recordOutputs: false,
    metadata: { userId: 'anna', sessionId: 'conv-7' },
  }
  const prompt = 'Say hello.'
  await generateText({ model: openai.chat('gpt-4o'), prompt, experimental_telemetry })
  const stream = streamText({ model: openai.responses('gpt-4o-mini'), prompt, experimental_telemetry })
  await stream.consumeStream()
  await embed({ model: openai.embedding('text-embedding-3-small'), value: 'hello', experimental_telemetry })
  await generateText({ model: anthropic('claude-sonnet-4-5'), prompt, experimental_telemetry })
  await provider.shutdown()
  if (bodies.length !== 1) throw new Error(`${bodies.length} requests instead of one`)
  const path = join(dirname(fileURLToPath(import.meta.url)), 'vercel_ai.json')
  writeFileSync(path, bodies[0])
  console.log(path, bodies[0].length, 'bytes')
} finally {
  fake.kill()
  receiver.close()
}
