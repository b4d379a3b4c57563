"""Checks tokens with pymacaroons and prints how many a second. The first argument is a file with a JSON list of them."""

import base64
import json
import sys
import time

from pymacaroons import Macaroon, Verifier

texts = json.load(open(sys.argv[1], encoding="utf-8"))
# It reads URL-safe base64 only.
texts = [base64.urlsafe_b64encode(base64.b64decode(text)).decode() for text in texts]
rates = []
for _ in range(5):
    started = time.perf_counter()
    for text in texts:
        verifier = Verifier()
        verifier.satisfy_general(lambda caveat: True)
        assert verifier.verify(Macaroon.deserialize(text), bytes([7] * 32))
    rates.append(len(texts) / (time.perf_counter() - started))
print(sorted(rates)[len(rates) // 2])
