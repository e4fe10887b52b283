"""Two gateways over one Redis: `shared.py FACTS OTHER_URL`. One budget and one limit hold over both."""

import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from checks import FACTS, GATEWAY, check, counts, equal, post, run

BOTH = [GATEWAY, sys.argv[2]]
BUDGET_USD = Decimal("0.0005")
LIMIT = 6


def chat(gateway, key="key", model="gpt-4o-mini"):
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello"}], "max_completion_tokens": 20}
    return post(f"{gateway}/v1/chat/completions", body, FACTS[key])


@check("one key's budget binds across both gateways")
def _():
    spent, served, refused = Decimal(0), {url: 0 for url in BOTH}, {url: 0 for url in BOTH}
    dearest = Decimal(0)
    for nth in range(400):
        url = BOTH[nth % 2]
        status, headers, body = chat(url, "poor")
        if status == 200:
            assert not any(refused.values()), "a call went through after the budget was used up"
            cost = Decimal(headers["x-infer-cost-usd"])
            spent, dearest, served[url] = spent + cost, max(dearest, cost), served[url] + 1
        else:
            equal((status, body["error"]["code"], headers["x-should-retry"]), (429, "budget_exhausted", "false"))
            refused[url] += 1
            if all(refused.values()):
                break
    assert all(refused.values()), f"{spent} was spent of {BUDGET_USD}, and nobody was refused"
    assert all(count > 3 for count in served.values()), served
    # Calls come one after the other, so at most the last one can pass the limit, by what it costs beyond its reservation.
    assert BUDGET_USD - 2 * dearest <= spent <= BUDGET_USD + dearest, f"{spent} of {BUDGET_USD}, {dearest} at most each"


@check("calls at once at both gateways do not pass a budget either: each reserves what it may cost")
def _():
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda nth: chat(BOTH[nth % 2], "narrow"), range(96)))
    costs = [Decimal(headers["x-infer-cost-usd"]) for status, headers, _ in answers if status == 200]
    refused = [body["error"]["code"] for status, _, body in answers if status != 200]
    equal(set(refused), {"budget_exhausted"}, "refusals")
    assert BUDGET_USD / 3 <= sum(costs) <= BUDGET_USD, f"{sum(costs)} of {BUDGET_USD} in {len(costs)} calls"


@check("a provider's limit binds across both gateways, and the wait it names is true")
def _():
    before = counts("faulty")["calls"]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda nth: chat(BOTH[nth % 2], model="limited"), range(24)))
    served = [status for status, _, _ in answers if status == 200]
    # The burst, and what comes back at six a minute while this runs: one more where it takes ten seconds.
    assert LIMIT <= len(served) <= LIMIT + 1, f"{len(served)} of 24 calls went through"
    equal(counts("faulty")["calls"] - before, len(served), "calls that the upstream saw")
    for status, headers, body in answers:
        if status != 200:
            equal((status, body["error"]["code"]), (429, "queue_full"))
            assert 1 <= int(headers["retry-after"]) <= 60, headers["retry-after"]


@check("a key without a budget is served by both all the same")
def _():
    for url in BOTH:
        equal(chat(url)[0], 200)


run()
