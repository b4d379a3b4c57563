// The status page. Text is only ever set as text, so that no label can become markup.

/** How many entries of the public log are looked at for the feed. */
const BACKLOG = 300;

const at = (id) => document.getElementById(id);
const sat = (msat) => `${(Number(msat) / 1000).toLocaleString(undefined, { maximumFractionDigits: 3 })} sat`;
const UNITS = {
  task: () => "a task",
  ms: (per) => (per === 3600000 ? "an hour" : `for ${per} ms`),
  fuel: (per) => (per === 1e9 ? "a giga-fuel" : `for ${per} fuel`),
};
const price = (rate) => `${sat(rate.msat)} ${UNITS[rate.unit]?.(Number(rate.per)) ?? rate.unit}`;
const words = (text) => text.replaceAll("_", " ");
/** Labels are what people call themselves, and need not differ: the id is what counts. */
const who = (label, id) => `${label} (${id})`;
/** What a lease has brought its owner: as in the settlement, rounded as there, so that both say the same. */
function earned(books, feePpm) {
  const gross = BigInt(books.paid_msat) + BigInt(books.compensation_msat);
  return gross - (feePpm === undefined ? BigInt(books.fee_msat) : (gross * BigInt(feePpm)) / 1000000n);
}
const free = (r) => `${r.cpu_milli / 1000} ${r.cpu_milli === 1000 ? "core" : "cores"} · ${r.memory_mib} MiB${r.gpus ? ` · ${r.gpus.count}× ${r.gpus.model}` : ""}`;

/** A table row; each cell is a text, a node, or [text, class]. Where the screen is narrow, cells name their column. */
function row(cells, cls, names = []) {
  const tr = document.createElement("tr");
  if (cls) tr.className = cls;
  for (const [column, cell] of cells.entries()) {
    const td = document.createElement("td");
    if (cell instanceof Node) td.append(cell);
    else if (Array.isArray(cell)) [td.textContent, td.className] = cell;
    else td.textContent = cell;
    if (names[column]) td.dataset.name = names[column];
    tr.append(td);
  }
  return tr;
}

/** Fills a table: a [cells, class] for each row, or a word about why there are none. */
function fill(id, rows, nothing) {
  const names = [...at(id).closest("table").querySelectorAll("th")].map((th) => th.textContent);
  if (rows.length === 0) {
    const tr = row([[nothing, "empty"]]);
    tr.firstChild.colSpan = names.length;
    at(id).replaceChildren(tr);
    return;
  }
  at(id).replaceChildren(...rows.map(([cells, cls]) => row(cells, cls, names)));
}

function bar(job) {
  const div = document.createElement("div");
  div.className = "bar";
  const progress = document.createElement("progress");
  [progress.max, progress.value] = [job.tasks, job.tasks_done];
  const text = document.createElement("span");
  text.textContent = `${job.tasks_done}/${job.tasks}${job.running ? ` · ${job.running} running` : ""}${job.tasks_failed ? ` · ${job.tasks_failed} failed` : ""}`;
  div.append(progress, text);
  return div;
}

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function showBoard() {
  const [board, venue] = await Promise.all([ask("/v1/board"), ask("/v1/venue")]);
  document.title = venue.name;
  at("name").textContent = venue.name;
  at("money").hidden = !venue.is_play_money;
  at("money").textContent = "play money";
  at("insolvent").hidden = venue.is_solvent;
  at("key").textContent = venue.key;
  at("head").textContent = `${venue.head.head.size} events, root ${venue.head.head.root}`;
  at("c-parties").textContent = board.counts.parties;
  at("c-machines").textContent = board.counts.machines;
  at("c-offers").textContent = board.counts.offers;
  at("c-jobs").textContent = board.counts.open_jobs;
  at("c-leases").textContent = board.counts.open_leases;
  at("c-held").textContent = sat(venue.node_balance_msat);
  at("c-owed").textContent = sat(venue.liabilities_msat);
  fill("jobs", board.jobs.map((job) => [[
    job.job, job.name, who(job.buyer_label, job.buyer), words(job.phase), bar(job), [sat(job.paid_msat), "n"],
  ]]), "no jobs yet: grist run job.toml");
  fill("offers", board.offers.map((offer) => [[
    offer.offer, offer.machine_label, who(offer.party_label, offer.party), offer.terms.class, free(offer.free),
    [price(offer.terms.rate), "n"],
    [offer.is_unvetted ? "new" : `${(offer.reputation_ppm / 10000).toFixed(1)} %`, "n"],
    [sat(offer.bond_msat), "n"],
  ], offer.is_live ? "" : "gone"]), "no offers yet: grist provide");
  fill("leases", board.leases.map((lease) => [[
    lease.lease, lease.job, who(lease.machine_label, lease.party), words(lease.phase), [price(lease.rate), "n"],
    [lease.books.accepted, "n"], [lease.books.wrong, lease.books.wrong ? "n bad" : "n"],
    [sat(earned(lease.books, venue.fee_ppm)), "n"],
  ]]), "no open leases");
}

/** How a job's or a lease's end is to be taken. */
const TONES = {
  completed: "good", finished: "good",
  partial: "bad", out_of_funds: "bad", no_bids: "bad", cheated: "bad", lost: "bad", never_started: "bad",
};

/** What people want to read about, as [text, class]. */
const STORIES = {
  lease_granted: (e) => [`${e.machine} won ${e.lease} of ${e.job} at ${price(e.rate)}`, ""],
  lease_closed: (e) => [`${e.lease} is settled (${words(e.reason)}): ${e.party} earned ${sat(earned(e.settlement))} for ${e.settlement.accepted} results`, TONES[e.reason] ?? ""],
  bond_slashed: (e) => [`${e.party} was proven to cheat and lost its bond of ${sat(e.bond_msat)}`, "bad"],
  auction_cleared: (e) => [`${e.order}: ${e.won} leases won out of ${e.bids} bids`, ""],
  job_settled: (e) => [`${e.job} is settled (${words(e.outcome)}): ${sat(e.paid_msat)} paid, ${sat(e.refunded_msat)} back to ${e.buyer}`, TONES[e.outcome] ?? ""],
  machine_lost: (e) => [`${e.machine} is no longer heard of`, "bad"],
  machine_back: (e) => [`${e.machine} is back`, ""],
};

function tell(placed) {
  const [kind, event] = Object.entries(placed.event)[0];
  const story = STORIES[kind]?.(event);
  if (!story) return;
  const li = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date(Number(placed.at_ms)).toLocaleTimeString();
  const text = document.createElement("span");
  [text.textContent, text.className] = story;
  li.append(time, text);
  at("feed").prepend(li);
  while (at("feed").children.length > 50) at("feed").lastChild.remove();
}

let isDue = true;
let isShowing = false;
async function refresh() {
  if (!isDue || isShowing) return;
  [isDue, isShowing] = [false, true];
  try {
    await showBoard();
  } catch {
    isDue = true;
  }
  isShowing = false;
}

/** Follows the events after a cursor; a stream that the market refuses or ends is opened again from now on. */
function follow(query) {
  const stream = new EventSource(`/v1/events${query}`);
  const live = (on) => {
    at("live").textContent = on ? "live" : "reconnecting";
    at("live").classList.toggle("on", on);
  };
  stream.onopen = () => { isDue = true; live(true); };
  stream.onerror = () => {
    live(false);
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => follow(""), 2000);
  };
  stream.onmessage = (message) => {
    tell(JSON.parse(message.data));
    isDue = true;
  };
}

/** Tells what happened last, then what happens. */
async function start() {
  const head = await ask("/v1/log/head");
  const entries = await ask(`/v1/log/entries?start=${Math.max(0, head.head.size - BACKLOG)}&limit=${BACKLOG}`);
  entries.forEach(tell);
  const last = entries.at(-1);
  follow(last ? `?after=${last.position}.${last.index}` : "");
}

// Many events come at once; the board is asked for twice a second at most. Tasks finish without public events.
setInterval(refresh, 500);
setInterval(() => { isDue = true; }, 2000);
refresh();
start().catch(() => follow(""));
