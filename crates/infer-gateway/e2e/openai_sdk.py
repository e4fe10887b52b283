"""OpenAI's own Python SDK against a gateway: `openai_sdk.py FACTS`, where FACTS is a JSON object of addresses and keys."""

import asyncio
import base64
import json
import struct

import openai
import pydantic
from openai import AsyncOpenAI, AzureOpenAI, OpenAI

from checks import FACTS, GATEWAY, Left, call_of, check, counts, equal, named, raises, run

MODEL = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Say hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 5}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


def client(key="key", retries=0, **more):
    return OpenAI(base_url=f"{GATEWAY}/v1", api_key=FACTS[key], max_retries=retries, **more)


def chat(model=MODEL, client=client(), **more):
    return client.chat.completions.create(**{"model": named(model), "messages": HELLO, **more})


@check("an answer in one piece has text, a finish and counts")
def _():
    answer = chat()
    assert "Say hello" in answer.choices[0].message.content, answer
    equal(answer.choices[0].finish_reason, "stop")
    equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
    assert answer.usage.completion_tokens > 0 and answer.model == MODEL


@check("several answers, stop words and a limit are obeyed")
def _():
    equal(len(chat(n=3).choices), 3)
    assert "hello" not in chat(stop=["hello"]).choices[0].message.content
    cut = chat(max_completion_tokens=3).choices[0]
    equal(cut.finish_reason, "length")


@check("the answer's headers name the call, who served it and what it cost")
def _():
    raw = client().chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, extra_headers={"x-request-id": "py-named-1"}
    )
    equal(raw.headers["x-request-id"], "py-named-1")
    equal(raw.parse()._request_id, "py-named-1")
    equal(raw.headers["x-served-by"], "steady")
    assert float(raw.headers["x-infer-cost-usd"]) > 0
    equal(call_of("py-named-1")["key"], "team")


@check("a stream is the same answer in pieces, with counts when asked for")
def _():
    whole = chat().choices[0].message.content
    pieces = list(chat(stream=True, stream_options={"include_usage": True}))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    equal(text, whole)
    assert len(pieces) > 5, len(pieces)
    equal([piece.choices[0].finish_reason for piece in pieces if piece.choices][-1], "stop")
    assert pieces[-1].usage.completion_tokens > 0 and not pieces[-1].choices
    assert all(piece.usage is None for piece in chat(stream=True))


@check("the stream helper accumulates what was sent")
def _():
    with client().chat.completions.stream(model=MODEL, messages=HELLO) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"content.delta", "content.done"} <= kinds, kinds
    equal(final.choices[0].message.content, chat().choices[0].message.content)


@check("a tool is called, and its result is answered")
def _():
    messages = [{"role": "user", "content": "Please use get_weather for Oslo"}]
    message = chat(messages=messages, tools=[WEATHER]).choices[0].message
    call = message.tool_calls[0]
    equal((call.type, call.function.name), ("function", "get_weather"))
    assert 1 <= json.loads(call.function.arguments)["days"] <= 5
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "rain and 4 degrees"}]
    answer = chat(messages=messages, tools=[WEATHER]).choices[0]
    equal(answer.finish_reason, "stop")
    assert "rain" in answer.message.content, answer


@check("a streamed tool call arrives in fragments that make one call")
def _():
    messages = [{"role": "user", "content": "Please use get_weather for Oslo"}]
    with client().chat.completions.stream(model=MODEL, messages=messages, tools=[WEATHER]) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert "tool_calls.function.arguments.delta" in kinds and "tool_calls.function.arguments.done" in kinds, kinds
    arguments = message.tool_calls[0].function.parsed_arguments
    assert isinstance(arguments["city"], str) and 1 <= arguments["days"] <= 5, arguments
    equal(message.tool_calls[0].function.name, "get_weather")


class Person(pydantic.BaseModel):
    name: str
    age: int
    tags: list[str]


@check("a structured answer is parsed into its type")
def _():
    parsed = client().chat.completions.parse(model=MODEL, messages=HELLO, response_format=Person)
    assert isinstance(parsed.choices[0].message.parsed, Person), parsed
    with client().chat.completions.stream(model=MODEL, messages=HELLO, response_format=Person) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Person)


@check("a refusal and a reason to stop survive")
def _():
    assert "refuse" in chat("sim-refusal").choices[0].message.refusal
    equal(chat("sim-finish-content_filter").choices[0].finish_reason, "content_filter")
    kind = openai.LengthFinishReasonError
    raises(kind, lambda: client().chat.completions.parse(model=named("sim-finish-length"), messages=HELLO, response_format=Person))


@check("vectors are the same as numbers and as base64, which the SDK asks for by itself")
def _():
    ask = lambda **more: client().embeddings.create(model="text-embedding-3-small", input=["one", "two"], **more)
    numbers, packed = ask(encoding_format="float"), ask()
    for one, other in zip(numbers.data, packed.data, strict=True):
        equal(len(one.embedding), 1536)
        assert max(abs(a - b) for a, b in zip(one.embedding, other.embedding, strict=True)) < 1e-6
    equal([item.index for item in packed.data], [0, 1])
    text = ask(encoding_format="base64").data[0].embedding
    equal(len(struct.unpack("<1536f", base64.b64decode(text))), 1536)
    assert packed.usage.prompt_tokens > 0
    equal(len(client().embeddings.create(model="text-embedding-3-small", input="one", dimensions=64).data[0].embedding), 64)


@check("models are listed, one is found, and another is not")
def _():
    models = [model.id for model in client().models.list()]
    assert "steady/gpt-4o-mini" in models, models
    equal(client().models.retrieve("steady/gpt-4o-mini").object, "model")
    raises(openai.NotFoundError, lambda: client().models.retrieve("nope"), status_code=404, code="model_not_found")
    assert {model.id.split("/")[-1] for model in client("narrow").models.list()} <= {MODEL}


@check("every refusal has the class of its status, its code and its words")
def _():
    stranger = OpenAI(base_url=f"{GATEWAY}/v1", api_key="sk-nobody-knows-this", max_retries=0)
    error = raises(openai.AuthenticationError, lambda: chat(client=stranger), status_code=401, code="invalid_api_key")
    assert "sk-nobody" not in str(error)
    raises(openai.PermissionDeniedError, lambda: chat("gpt-4o", client("narrow")), status_code=403, code="model_not_allowed")
    raises(openai.NotFoundError, lambda: chat("sim-error-404"), status_code=404)
    raises(openai.BadRequestError, lambda: chat(messages=5), status_code=400, param="messages")
    raises(openai.BadRequestError, lambda: chat("sim-context"), status_code=400, code="context_length_exceeded")
    raises(openai.UnprocessableEntityError, lambda: chat("sim-error-422"), status_code=422)
    raises(openai.RateLimitError, lambda: chat("sim-quota"), status_code=429, code="insufficient_quota")
    error = raises(openai.RateLimitError, lambda: chat("sim-error-429"), status_code=429)
    assert int(error.response.headers["retry-after"]) >= 1 and error.request_id
    raises(openai.InternalServerError, lambda: chat("sim-error-500"), status_code=500)
    raises(openai.InternalServerError, lambda: chat("sim-error-503"), status_code=503)
    raises(openai.InternalServerError, lambda: chat("sim-cut"), status_code=502)
    raises(openai.InternalServerError, lambda: chat("sim-html"), status_code=502)


@check("the upstream's refusal of the gateway's own key is no 401")
def _():
    error = raises(openai.InternalServerError, lambda: chat("sim-error-401"), status_code=500)
    assert "key" not in error.body["message"].lower() or "credential" in error.body["message"]


@check("a stream that breaks raises an error after the text that came")
def _():
    for model in ["sim-cut", "sim-error-midway", "sim-utf8"]:
        text = []

        def read():
            for piece in chat(model, stream=True):
                text.extend(choice.delta.content or "" for choice in piece.choices)

        error = raises(openai.APIError, read)
        assert "".join(text) and error.body["message"], (model, text, error.body)


@check("what fails before the first piece of a stream has a status")
def _():
    raises(openai.InternalServerError, lambda: chat("sim-error-first", stream=True), status_code=502)
    raises(openai.RateLimitError, lambda: chat("sim-error-429", stream=True), status_code=429)


def asked(model, retries, key="key", **more):
    """How many requests of the SDK it takes to fail."""
    seen = []
    http = openai.DefaultHttpxClient(event_hooks={"request": [lambda request: seen.append(request)]})
    raises(more.pop("kind"), lambda: chat(model, client(key, retries, http_client=http), **more))
    return len(seen)


@check("what may work later is asked again, as often as the SDK is told")
def _():
    before = counts("faulty")["calls"]
    equal(asked("sim-error-503", 2, kind=openai.InternalServerError), 3)
    equal(counts("faulty")["calls"] - before, 3, "calls of the upstream")


@check("what cannot work later is asked once: x-should-retry says so")
def _():
    chat(client=client("poor"))
    equal(asked(MODEL, 2, "poor", kind=openai.RateLimitError), 1, "requests against an empty budget")
    error = raises(openai.RateLimitError, lambda: chat(client=client("poor")), code="budget_exhausted")
    equal(error.response.headers["x-should-retry"], "false")
    equal(asked("sim-quota", 2, kind=openai.RateLimitError), 1, "requests against an empty quota")
    equal(asked("sim-error-401", 2, kind=openai.InternalServerError), 1, "requests with a key that is refused upstream")
    equal(asked("sim-html", 2, kind=openai.InternalServerError), 1, "requests for an answer that cannot be read")


@check("a key's limit names the wait, and the SDK does not wait for a minute")
def _():
    slow = client("slow")
    chat(client=slow)
    error = raises(openai.RateLimitError, lambda: chat(client=slow), code="rate_limited")
    assert 50 <= int(error.response.headers["retry-after"]) <= 60
    assert 50_000 <= float(error.response.headers["retry-after-ms"]) <= 60_001


@check("the Azure client asks by deployment, with its own header")
def _():
    azure = AzureOpenAI(azure_endpoint=GATEWAY, api_key=FACTS["key"], api_version="2024-10-21", max_retries=0)
    assert "Say hello" in chat(client=azure).choices[0].message.content
    assert len(list(chat(client=azure, stream=True))) > 5
    equal(len(azure.embeddings.create(model="text-embedding-3-small", input="x").data[0].embedding), 1536)
    assert azure.completions.create(model=MODEL, prompt="Say hello").choices[0].text
    assert azure.models.list().data
    stranger = AzureOpenAI(azure_endpoint=GATEWAY, api_key="nobody", api_version="2024-10-21", max_retries=0)
    raises(openai.AuthenticationError, lambda: chat(client=stranger), status_code=401)


@check("older completions answer, in one piece and as a stream")
def _():
    ask = lambda **more: client().completions.create(model=MODEL, prompt="Say hello", **more)
    whole = ask()
    assert whole.object == "text_completion" and whole.choices[0].text and whole.usage.completion_tokens
    equal("".join(piece.choices[0].text for piece in ask(stream=True) if piece.choices), whole.choices[0].text)


@check("responses answer, in one piece and as a stream")
def _():
    ask = lambda **more: client().responses.create(model=MODEL, input="Say hello", **more)
    whole = ask()
    assert "Say hello" in whole.output_text and whole.usage.output_tokens > 0
    events = list(ask(stream=True))
    equal((events[0].type, events[-1].type), ("response.created", "response.completed"))
    equal("".join(event.delta for event in events if event.type == "response.output_text.delta"), whole.output_text)
    with client().responses.stream(model=MODEL, input="Say hello") as stream:
        for _ in stream:
            pass
        equal(stream.get_final_response().output_text, whole.output_text)
    raises(openai.InternalServerError, lambda: client().responses.create(model=named("sim-error-500"), input="x"), status_code=500)


@check("a response stream that breaks is an error and no end")
def _():
    seen = []

    def read():
        seen.extend(client().responses.create(model=named("sim-cut"), input="x", stream=True))

    try:
        read()
    except openai.OpenAIError:
        pass
    kinds = [event.type for event in seen]
    assert "response.completed" not in kinds
    assert kinds[-1:] == ["error"] or "error" not in kinds, kinds


@check("moderations and speech pass through")
def _():
    equal(client().moderations.create(input=["a", "b"]).results[1].flagged, False)
    sound = client().audio.speech.create(model="tts-1", voice="alloy", input="hello")
    assert len(sound.content) > 1000


@check("closing a stream cancels the upstream's call")
def _():
    left = Left("faulty")
    stream = chat("sim-long", stream=True, extra_headers={"x-request-id": "py-left-1"})
    for _ in zip(range(3), stream):
        pass
    stream.close()
    left.by()
    equal(call_of("py-left-1")["ending"], "left")


@check("a client that gives up before there is an answer cancels the upstream's call")
def _():
    left = Left("faulty")
    raises(openai.APITimeoutError, lambda: chat("sim-silent", client(timeout=0.3)))
    left.by()


@check("the async client asks, streams and cancels")
async def _():
    left = Left("faulty")
    async with AsyncOpenAI(base_url=f"{GATEWAY}/v1", api_key=FACTS["key"], max_retries=0) as many:
        ask = lambda **more: many.chat.completions.create(**{"model": MODEL, "messages": HELLO, **more})
        answers = await asyncio.gather(*(ask() for _ in range(20)))
        assert all(answer.choices[0].message.content for answer in answers)
        text = [piece.choices[0].delta.content or "" async for piece in await ask(stream=True) if piece.choices]
        equal("".join(text), answers[0].choices[0].message.content)
        task = asyncio.create_task(ask(model=named("sim-silent")))
        before = counts("faulty")["calls"]
        await asyncio.sleep(0)
        while counts("faulty")["calls"] == before:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with await ask(model=named("sim-long"), stream=True) as stream:
            async for _ in stream:
                break
    left.by(2)


run()
