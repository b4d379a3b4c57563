"""Ours beside pymacaroons and l402-requests. Started by l402-peers.sh, which says in the environment where everything is."""

import asyncio
import base64
import hashlib
import http.server
import json
import os
import re
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

from l402_requests import BudgetController, L402Client, WalletBase
from pymacaroons import MACAROON_V2, Macaroon, Verifier

FILMS = os.environ["FILMS"]
MARKET = os.environ["GRIST_MARKET"]


def said(what):
    print(f"ok: {what}")


def standard(macaroon):
    """pymacaroons writes URL-safe base64 without padding; headers have standard base64 with it."""
    text = macaroon.serialize()
    return base64.b64encode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))).decode()


def read(text):
    return Macaroon.deserialize(base64.urlsafe_b64encode(base64.b64decode(text)).decode())


def call(url, headers=None, data=None):
    request = urllib.request.Request(url, headers=headers or {}, data=data)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def challenge(url):
    status, headers, _ = call(url)
    assert status == 402, status
    header = {name.lower(): value for name, value in headers.items()}["www-authenticate"]
    return re.search('macaroon="([^"]+)"', header)[1], re.search('invoice="([^"]+)"', header)[1]


def pay(invoice):
    status, _, preimage = call(FILMS + "/pay", data=invoice.encode())
    assert status == 200, preimage
    return preimage


def golden():
    """Makes the tokens that the tests of crates/pay/src/l402 have by heart."""
    identifier = b"\0\0" + hashlib.sha256(bytes([9] * 32)).digest() + bytes(range(32))
    made = []
    for secret, caveats in [
        (bytes([7] * 32), ["services=films:0"]),
        (
            bytes(range(32)),
            ["services=films:0,music:2", "films_capabilities=read,watch", "films_valid_until=1750400000"]
            + ["color=red", "films_capabilities=watch"],
        ),
    ]:
        token = Macaroon(location="films.example", identifier=identifier, key=secret, version=MACAROON_V2)
        for caveat in caveats:
            token.add_first_party_caveat(caveat)
        made.append(standard(token))
    source = open("crates/pay/src/l402/tests.rs", encoding="utf-8").read()
    known = re.search(r"OF_PYMACAROONS[^=]*= \[(.*?)\n\];", source, re.DOTALL)[1]
    known = [text.replace("\\\n", "").replace(" ", "") for text in re.findall('"([^"]+)"', known)]
    assert made == known, (made, known)
    said("pymacaroons makes the tokens of our tests, to the byte")


def tokens():
    macaroon, invoice = challenge(FILMS + "/films/a")
    token = read(macaroon)
    assert standard(token) == macaroon
    secret = bytes.fromhex(json.load(open(os.environ["FILMS_KEYS"], encoding="utf-8"))["current"])
    verifier = Verifier()
    verifier.satisfy_general(lambda caveat: True)
    assert verifier.verify(token, secret)
    said("pymacaroons reads our token and verifies its signature")
    preimage = pay(invoice)
    token.add_first_party_caveat("films_capabilities=watch")
    token.add_first_party_caveat("color=red")
    status, _, film = call(FILMS + "/films/a", {"Authorization": f"L402 {standard(token)}:{preimage}"})
    assert (status, film) == (200, "the film a\n"), (status, film)
    said("our gate takes a token that pymacaroons made narrower")
    token.add_first_party_caveat("films_capabilities=watch,sell")
    status, _, _ = call(FILMS + "/films/a", {"Authorization": f"LSAT {standard(token)}:{preimage}"})
    assert status == 402, status
    said("and refuses one that it made wider")


class Wallet(WalletBase):
    """Pays with the play money of our example."""

    async def pay_invoice(self, bolt11):
        return await asyncio.to_thread(pay, bolt11)


def client():
    client = L402Client(wallet=Wallet(), budget=BudgetController(max_sats_per_request=10))
    for _ in range(2):
        answer = client.get(FILMS + "/films/b")
        assert (answer.status_code, answer.text) == (200, "the film b\n"), answer
    assert client.spending_log.total_spent() == 5, client.spending_log.total_spent()
    said("l402-requests buys from our gate, once")


class Server(http.server.BaseHTTPRequestHandler):
    """Sells with pymacaroons. Its invoices are those of our market's stream of offers, where play money is paid to."""

    key = bytes([5] * 32)
    sold = 0

    def do_GET(self):
        preimage = self.paid()
        if preimage:
            body = b"the song\n"
            self.send_response(200)
        else:
            theirs, invoice = challenge(MARKET + "/v1/offers/stream")
            payment_hash = read(theirs).identifier_bytes[2:34]
            identifier = b"\0\0" + payment_hash + bytes(32)
            token = Macaroon(location="songs", identifier=identifier, key=self.key, version=MACAROON_V2)
            token.add_first_party_caveat("services=songs:0")
            Server.sold += 1
            body = b"pay\n"
            self.send_response(402)
            # As servers wrote it before there were versions.
            self.send_header("WWW-Authenticate", f'LSAT macaroon="{standard(token)}", invoice="{invoice}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def paid(self):
        match = re.fullmatch("(?:L402|LSAT) (.*):([a-f0-9]{64})", self.headers.get("Authorization", ""))
        if not match:
            return None
        token = read(match[1])
        verifier = Verifier()
        verifier.satisfy_exact("services=songs:0")
        opened = hashlib.sha256(bytes.fromhex(match[2])).digest() == token.identifier_bytes[2:34]
        return match[2] if opened and verifier.verify(token, self.key) else None

    def log_message(self, *_):
        pass


def server():
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{httpd.server_port}/song"
    grist = [os.environ["GRIST"], "fetch", url]
    refused = subprocess.run(grist, capture_output=True, text=True)
    assert refused.returncode == 6 and "1 sat" in refused.stderr, refused
    paid = subprocess.run(grist + ["--max-pay", "2sat"], capture_output=True, text=True)
    assert (paid.returncode, paid.stdout) == (0, "the song\n"), paid
    again = subprocess.run(grist, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (0, "the song\n"), again
    assert Server.sold == 2, Server.sold
    said("grist fetch buys from a server made with pymacaroons, up to its limit, and once")
    httpd.shutdown()


golden()
tokens()
client()
server()
