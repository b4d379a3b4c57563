// Ours beside @getalby/lightning-tools and l402. Started by l402-peers.sh, which says in the environment where everything is.

import assert from "node:assert";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import http from "node:http";
import { promisify } from "node:util";
import {
  fetchWithL402,
  issueL402Macaroon,
  makeL402AuthenticateHeader,
  parseL402Authorization,
  verifyL402Macaroon,
} from "@getalby/lightning-tools/402";
import axios from "axios";
import l402 from "l402";

const run = promisify(execFile);
const { FILMS, GRIST, GRIST_MARKET } = process.env;
const said = (what) => console.log(`ok: ${what}`);

async function pay(invoice) {
  const answer = await fetch(`${FILMS}/pay`, { method: "POST", body: invoice });
  const preimage = await answer.text();
  assert.equal(answer.status, 200, preimage);
  return preimage;
}

async function alby() {
  let payments = 0;
  const wallet = {
    payInvoice: async ({ invoice }) => {
      payments += 1;
      return { preimage: await pay(invoice) };
    },
  };
  const first = await fetchWithL402(`${FILMS}/films/a`, {}, { wallet });
  assert.equal(await first.text(), "the film a\n");
  const { credentials } = first.payment;
  const second = await fetchWithL402(`${FILMS}/films/a`, {}, { wallet, credentials });
  assert.equal(await second.text(), "the film a\n");
  assert.equal(payments, 1);
  said("@getalby/lightning-tools buys from our gate, once");
}

async function axiosClient() {
  const kept = new Map();
  const store = {
    put: (url, token, method) => kept.set(`${method} ${url}`, token),
    get: (url, method) => kept.get(`${method} ${url}`),
  };
  const wallet = { payInvoice: async (invoice) => ({ success: true, preimage: await pay(invoice) }) };
  const client = axios.create();
  l402.setupL402Interceptor(client, wallet, store);
  for (let turn = 0; turn < 2; turn += 1) {
    const answer = await client.get(`${FILMS}/films/b`);
    assert.equal(answer.data, "the film b\n");
  }
  assert.equal(kept.size, 1);
  said("l402 for axios buys from our gate");
}

// Its tokens are no macaroons. Invoices are those of our market's stream of offers, where play money is paid to.
async function albyServer() {
  const secret = "5".repeat(64);
  const server = http.createServer(async (request, response) => {
    try {
      const presented = parseL402Authorization(request.headers.authorization ?? "");
      if (presented) {
        const { paymentHash } = await verifyL402Macaroon(secret, presented.token);
        const opened = createHash("sha256").update(Buffer.from(presented.preimage, "hex")).digest("hex");
        assert.equal(opened, paymentHash);
        return response.end("the song\n");
      }
      const offered = (await fetch(`${GRIST_MARKET}/v1/offers/stream`)).headers.get("www-authenticate");
      const invoice = /invoice="([^"]+)"/.exec(offered)[1];
      const macaroon = Buffer.from(/macaroon="([^"]+)"/.exec(offered)[1], "base64");
      const paymentHash = macaroon.subarray(macaroon.indexOf(Buffer.from([2, 66, 0, 0])) + 4).subarray(0, 32).toString("hex");
      const token = await issueL402Macaroon(secret, paymentHash);
      response.writeHead(402, { "www-authenticate": makeL402AuthenticateHeader({ token, invoice }) });
      return response.end();
    } catch (error) {
      response.writeHead(500);
      return response.end(String(error));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/song`;
  const paid = await run(GRIST, ["fetch", url, "--max-pay", "2sat"]);
  assert.equal(paid.stdout, "the song\n");
  const again = await run(GRIST, ["fetch", url]);
  assert.equal(again.stdout, "the song\n");
  server.close();
  said("grist fetch buys from a server made with @getalby/lightning-tools, once");
}

await alby();
await axiosClient();
await albyServer();
