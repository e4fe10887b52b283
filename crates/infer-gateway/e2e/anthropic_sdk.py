"""Anthropic's own Python SDK against a gateway in front of an upstream that speaks OpenAI's wire."""

import anthropic
from anthropic import Anthropic, AsyncAnthropic

from checks import FACTS, GATEWAY, Left, call_of, check, counts, equal, named, raises, run

MODEL = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Say hello"}]
TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 5}},
        "required": ["city", "days"],
    },
}


def client(key="key", retries=0, **more):
    return Anthropic(base_url=GATEWAY, api_key=FACTS[key], max_retries=retries, **more)


def ask(model=MODEL, client=client(), **more):
    return client.messages.create(**{"model": named(model), "max_tokens": 200, "messages": HELLO, **more})


@check("a message has text, a reason to stop and counts")
def _():
    message = ask(system="You are brief.", extra_body={"temperature": 0.5}, stop_sequences=["never said"])
    equal((message.type, message.role, message.model), ("message", "assistant", MODEL))
    assert "Say hello" in message.content[0].text, message
    equal(message.stop_reason, "end_turn")
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0
    equal(ask(max_tokens=3).stop_reason, "max_tokens")


@check("the call is named, and counted under its key")
def _():
    raw = client().messages.with_raw_response.create(
        model=MODEL, max_tokens=50, messages=HELLO, extra_headers={"x-request-id": "an-named-1"}
    )
    equal(raw.headers["x-request-id"], "an-named-1")
    call = call_of("an-named-1")
    equal((call["key"], call["endpoint"], call["provider"]), ("team", "messages", "steady"))


@check("a stream is the same message, event by event")
def _():
    whole = ask().content[0].text
    events = list(ask(stream=True))
    kinds = [event.type for event in events]
    equal((kinds[0], kinds[-2], kinds[-1]), ("message_start", "message_delta", "message_stop"))
    equal("".join(e.delta.text for e in events if e.type == "content_block_delta"), whole)
    equal(events[-2].delta.stop_reason, "end_turn")
    assert events[-2].usage.output_tokens > 0
    with client().messages.stream(model=MODEL, max_tokens=200, messages=HELLO) as stream:
        equal("".join(stream.text_stream), whole)
        final = stream.get_final_message()
    equal((final.content[0].text, final.stop_reason), (whole, "end_turn"))
    assert final.usage.input_tokens > 0, final.usage


@check("a tool is used, and its result is answered")
def _():
    messages = [{"role": "user", "content": "Please use get_weather for Oslo"}]
    message = ask(messages=messages, tools=[TOOL])
    equal(message.stop_reason, "tool_use")
    use = next(block for block in message.content if block.type == "tool_use")
    assert use.name == "get_weather" and use.id and 1 <= use.input["days"] <= 5, use
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "rain and 4 degrees"}
    messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    answer = ask(messages=messages, tools=[TOOL])
    equal(answer.stop_reason, "end_turn")
    assert "rain" in answer.content[0].text, answer


@check("a streamed tool use arrives in fragments that make one input")
def _():
    messages = [{"role": "user", "content": "Please use get_weather for Oslo"}]
    with client().messages.stream(model=MODEL, max_tokens=200, messages=messages, tools=[TOOL]) as stream:
        fragments = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    use = next(block for block in final.content if block.type == "tool_use")
    assert len(fragments) > 1 and 1 <= use.input["days"] <= 5, (fragments, use)
    forced = ask(tools=[TOOL], tool_choice={"type": "tool", "name": "get_weather"})
    equal([block.type for block in forced.content], ["tool_use"])


@check("parts of a message, pictures too, are understood")
def _():
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": pixel}},
    ]
    message = ask(messages=[{"role": "user", "content": parts}])
    assert "What is this?" in message.content[0].text and message.usage.input_tokens > 80, message


@check("thinking goes through a stream as its own block")
def _():
    kinds = [event.content_block.type for event in ask("sim-reasoning", stream=True) if event.type == "content_block_start"]
    assert kinds in (["thinking", "text"], ["text"]), kinds
    assert any(block.type == "text" for block in ask("sim-reasoning").content)


@check("every refusal has the class of its status, in Anthropic's words")
def _():
    stranger = Anthropic(base_url=GATEWAY, api_key="sk-ant-nobody", max_retries=0)

    def refused(kind, status, word, call):
        error = raises(kind, call, status_code=status)
        equal((error.body["type"], error.body["error"]["type"]), ("error", word), "the body")
        return error

    refused(anthropic.AuthenticationError, 401, "authentication_error", lambda: ask(client=stranger))
    refused(anthropic.PermissionDeniedError, 403, "permission_error", lambda: ask("gpt-4o", client("narrow")))
    refused(anthropic.NotFoundError, 404, "not_found_error", lambda: ask("sim-error-404"))
    refused(anthropic.BadRequestError, 400, "invalid_request_error", lambda: ask(messages=5))
    refused(anthropic.BadRequestError, 400, "invalid_request_error", lambda: ask("sim-context"))
    error = refused(anthropic.RateLimitError, 429, "rate_limit_error", lambda: ask("sim-error-429"))
    assert int(error.response.headers["retry-after"]) >= 1
    refused(anthropic.InternalServerError, 500, "api_error", lambda: ask("sim-error-500"))
    refused(anthropic.InternalServerError, 500, "api_error", lambda: ask("sim-error-401"))
    refused(anthropic.InternalServerError, 502, "api_error", lambda: ask("sim-cut"))


@check("a stream that breaks raises an error after the text that came")
def _():
    for model in ["sim-cut", "sim-error-midway"]:
        text = []

        def read():
            for event in ask(model, stream=True):
                if event.type == "content_block_delta":
                    text.append(event.delta.text)

        try:
            read()
        except anthropic.APIStatusError as error:
            equal(error.body["type"], "error")
        else:
            raise AssertionError(f"{model}: the stream ended as if all were well")
        assert "".join(text), model


@check("what may work later is asked again, and what cannot is asked once")
def _():
    def asked(model, key="key"):
        seen = []
        http = anthropic.DefaultHttpxClient(event_hooks={"request": [lambda request: seen.append(request)]})
        try:
            ask(model, client(key, 2, http_client=http))
        except anthropic.APIStatusError:
            return len(seen)
        raise AssertionError("it succeeded")

    equal(asked("sim-error-503"), 3)
    try:
        for _ in range(20):
            ask(client=client("poor"), max_tokens=8)
    except anthropic.APIStatusError as error:
        assert error.response.headers["x-should-retry"] == "false", error
    equal(asked(MODEL, "poor"), 1, "requests against an empty budget")
    equal(asked("sim-error-401"), 1, "requests with a key that is refused upstream")


@check("closing a stream cancels the upstream's call")
def _():
    left = Left("faulty")
    with client().messages.stream(
        model=named("sim-long"), max_tokens=100_000, messages=HELLO, extra_headers={"x-request-id": "an-left-1"}
    ) as stream:
        for _ in zip(range(3), stream.text_stream):
            pass
    left.by()
    equal(call_of("an-left-1")["ending"], "left")


@check("the async client asks and streams, with a bearer token too")
async def _():
    async with AsyncAnthropic(base_url=GATEWAY, auth_token=FACTS["key"], api_key=None, max_retries=0) as many:
        message = await many.messages.create(model=MODEL, max_tokens=200, messages=HELLO)
        async with many.messages.stream(model=MODEL, max_tokens=200, messages=HELLO) as stream:
            equal("".join([text async for text in stream.text_stream]), message.content[0].text)


@check("one client can ask for two shapes of the same model")
def _():
    before = counts("steady")["calls"]
    ask()
    equal(counts("steady")["calls"] - before, 1)


run()
