"""Checks with names that are false when they fail, and what they share: addresses, counts, requests."""

import asyncio
import inspect
import json
import sys
import time
import traceback
import urllib.error
import urllib.request

FACTS = json.loads(sys.argv[1])
GATEWAY = FACTS["gateway"]
PATIENCE_SECONDS = 15
_checks = []


def check(name):
    def keep(function):
        _checks.append((name, function))
        return function

    return keep


def run():
    """Runs every check, one after the other, and ends the process."""
    failed = 0
    for name, function in _checks:
        begun = time.monotonic()
        try:
            result = function()
            if inspect.isawaitable(result):
                asyncio.run(result)
            print(f"ok    {name} ({(time.monotonic() - begun) * 1000:.0f} ms)", flush=True)
        except Exception:
            failed += 1
            lines = traceback.format_exc().strip().splitlines()
            print(f"FAIL  {name}\n      " + "\n      ".join(lines), flush=True)
    print(f"{failed} of {len(_checks)} failed" if failed else f"all {len(_checks)} fine", flush=True)
    sys.exit(1 if failed else 0)


def equal(found, expected, what="the value"):
    assert found == expected, f"{what}: expected {expected!r}, found {found!r}"


def raises(kind, call, **members):
    """The error that `call` ends with, which is exactly of `kind` and has these members."""
    try:
        call()
    except Exception as error:
        assert type(error) is kind, f"expected {kind.__name__}, found {type(error).__name__}: {error}"
        for name, expected in members.items():
            equal(getattr(error, name), expected, name)
        return error
    raise AssertionError(f"expected {kind.__name__}, and it succeeded")


def get(url, key=None):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as response:
        return json.load(response)


def named(model):
    """What goes wrong goes wrong at one simulator, so that the other one's counts stay clear."""
    return f"faulty/{model}" if model.startswith("sim-") else model


def counts(sim):
    """How many requests a simulator has seen, and how many of their clients left early."""
    return get(FACTS[sim].removesuffix("/v1") + "/sim/stats")


def call_of(request_id):
    """The gateway's own record of a call that is over."""
    return until(
        f"the gateway's record of {request_id}",
        lambda: next((call for call in get(f"{GATEWAY}/admin/live", FACTS["admin"])["calls"] if call["id"] == request_id), None),
    )


def until(what, condition):
    """Asks until there is an answer; there is no event to wait for across processes."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {PATIENCE_SECONDS} s")


class Left:
    """That clients left the simulator `sim` since this was made, and so did the gateway."""

    def __init__(self, sim):
        self.sim, self.before = sim, counts(sim)["cancelled"]

    def by(self, clients=1):
        until("the upstream call is cancelled", lambda: counts(self.sim)["cancelled"] - self.before >= clients)


def post(url, body, key, timeout=30):
    """Status, headers and JSON of a plain request, whatever the status."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, response.headers, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)
