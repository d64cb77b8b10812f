"""Makes the payloads beside this file: what real libraries send for one call of the fake provider.

    cargo build --example fake_provider
    pip install openai anthropic opentelemetry-sdk opentelemetry-exporter-otlp-proto-http \
        opentelemetry-instrumentation-openai opentelemetry-instrumentation-anthropic \
        openinference-instrumentation-openai openinference-instrumentation-anthropic openlit
    python tests/otlp/capture.py PATH_OF_FAKE_PROVIDER [NAME...]

Each library runs in a process of its own, since they patch the same clients. They do not all install together: openai 2.x
for OpenInference, anthropic 2.x for `native_anthropic`; an environment each is best. OpenLIT's payload is not kept:
its releases pin an OpenTelemetry that the others have left behind. Prompts are short and the exporter sends once, so a payload is
a few kilobytes.
"""

import http.server
import os
import pathlib
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).parent


def openai_calls(base):
    import openai

    client = openai.OpenAI(base_url=base + "/v1", api_key="sk-test", max_retries=0)
    messages = [{"role": "user", "content": "Say hello."}]
    client.chat.completions.create(model="gpt-4o", messages=messages)
    stream = client.chat.completions.create(
        model="gpt-4o+reasoning", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    for _ in stream:
        pass
    client.embeddings.create(model="text-embedding-3-small", input="hello")
    try:
        client.chat.completions.create(model="gpt-4o+status=429", messages=messages)
    except openai.RateLimitError:
        pass


def anthropic_calls(base):
    import anthropic

    client = anthropic.Anthropic(base_url=base, api_key="sk-test", max_retries=0)
    client.messages.create(
        model="claude-sonnet-4-5", max_tokens=64, messages=[{"role": "user", "content": "Say hello."}]
    )


def openllmetry_openai(base):
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()
    openai_calls(base)


def openllmetry_anthropic(base):
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument()
    anthropic_calls(base)


def openinference_openai(base):
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()
    openai_calls(base)


def openinference_anthropic(base):
    from openinference.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument()
    anthropic_calls(base)


def openlit_both(base, exporter_endpoint):
    import openlit
    from opentelemetry import trace

    openlit.init(otlp_endpoint=exporter_endpoint, disable_batch=False, disable_metrics=True, application_name="shop")
    openai_calls(base)
    anthropic_calls(base)
    trace.get_tracer_provider().force_flush()


def native_anthropic(base):
    anthropic_calls(base)


def plain_sdk(base):
    """Spans written by hand with the SDK, as an application without instrumentation would."""
    from opentelemetry import trace

    tracer = trace.get_tracer("shop.llm", "1.2.0")
    with tracer.start_as_current_span("POST /checkout"):
        with tracer.start_as_current_span("chat gpt-4o", kind=trace.SpanKind.CLIENT) as span:
            span.set_attributes({
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.response.id": "chatcmpl-BvQ8mZ2x",
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.usage.input_tokens": 120,
                "gen_ai.usage.output_tokens": 30,
                "gen_ai.usage.cache_read.input_tokens": 64,
                "gen_ai.usage.reasoning.output_tokens": 10,
                "gen_ai.response.time_to_first_chunk": 0.25,
                "gen_ai.conversation.id": "conv-7",
                "user.id": "anna",
            })


SCENARIOS = {
    "openllmetry_openai": openllmetry_openai,
    "openllmetry_anthropic": openllmetry_anthropic,
    "openinference_openai": openinference_openai,
    "openinference_anthropic": openinference_anthropic,
    "openlit": openlit_both,
    "native_anthropic": native_anthropic,
    "plain_sdk": plain_sdk,
}


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path.endswith("/v1/traces"):
            self.server.bodies.append(body)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def without_stacks(payload):
    """The payload without stack traces, which are long and tell of the machine it was made on."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(payload)
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                for event in span.events:
                    kept = [pair for pair in event.attributes if pair.key != "exception.stacktrace"]
                    del event.attributes[:]
                    event.attributes.extend(kept)
    return request.SerializeToString()


def child(name, base, receiver):
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if name == "openlit":
        return openlit_both(base, receiver)
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(receiver + "/v1/traces")))
    trace.set_tracer_provider(provider)
    SCENARIOS[name](base)
    provider.shutdown()


def main():
    fake, *names = sys.argv[1:]
    provider = subprocess.Popen([fake, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    base = provider.stdout.readline().strip()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    receiver = f"http://127.0.0.1:{server.server_port}"
    try:
        for name in names or SCENARIOS:
            server.bodies = []
            environment = {**os.environ, "TRACELOOP_TRACE_CONTENT": "false"}
            command = [sys.executable, __file__, "--child", name, base, receiver]
            subprocess.run(command, check=True, env=environment, timeout=120)
            if not server.bodies:
                sys.exit(f"{name}: nothing was sent")
            # Messages of one type concatenated are one message: that is how protobuf merges repeated fields.
            payload = without_stacks(b"".join(server.bodies))
            (HERE / f"{name}.pb").write_bytes(payload)
            print(name, len(server.bodies), "requests,", len(payload), "bytes")
    finally:
        provider.terminate()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
