//! A market, providers and a buyer as processes, from the job file to the receipt.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use program::{Grist, Said, Service, example, market, wait_for_offer};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A provider with a party of its own, which sells one core.
fn provider(at: &Service, label: &str, price: &str) -> (Grist, Service) {
    let grist = Grist::at(at);
    let args = [
        "provide",
        "--label",
        label,
        "--class",
        "test",
        "--price-per-task",
        price,
        "--max-cpus",
        "1",
        "--max-memory",
        "512MiB",
    ];
    let service = grist.start(&args);
    wait_for_offer(at, service.first["machine"].as_str().unwrap());
    (grist, service)
}

/// The smallest example, with two parties that have to agree on each task.
fn replicated_job(buyer: &Grist) -> PathBuf {
    let folder = buyer.path("job");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(example("hello/hello.wasm"), folder.join("hello.wasm")).unwrap();
    let text = std::fs::read_to_string(example("hello/job.toml")).unwrap();
    let text = text.replace("method = \"none\"", "method = \"replicas\"\nagree = 2\nof = 2");
    std::fs::write(folder.join("job.toml"), text).unwrap();
    folder.join("job.toml")
}

/// A buyer with money.
fn buyer(at: &Service, funds: &str) -> Grist {
    let grist = Grist::at(at);
    let received = grist.run(&["wallet", "topup", funds, "--pay", "--json"]).ok().json();
    assert_eq!(received["phase"], "received");
    grist
}

fn balance(grist: &Grist) -> Value {
    grist.run(&["wallet", "balance", "--json"]).ok().json()
}

fn run(buyer: &Grist, job: &Path, out: &Path) -> (Said, Value) {
    let said = buyer.run(&["run", job.to_str().unwrap(), "--yes", "--json", "--out", out.to_str().unwrap()]);
    let last =
        said.stdout.lines().rfind(|line| line.contains("\"result\"")).unwrap_or_else(|| panic!("{said:?}"));
    let result = serde_json::from_str::<Value>(last).unwrap()["result"].clone();
    (said, result)
}

#[test]
fn a_job_is_run_paid_and_proven() {
    let operator = Grist::new();
    let data = operator.path("market");
    let mut venue = market(&operator, &data);
    let (worker, _providing) = provider(&venue, "worker", "10sat");
    let buyer = buyer(&venue, "2000sat");

    let job = example("hello/job.toml");
    let quote = buyer.run(&["run", job.to_str().unwrap(), "--dry-run", "--json"]).ok().json();
    assert_eq!((&quote["deterrence"], &quote["venue_owes_msat"]), (&json!("unverified"), &json!(0)));
    assert_eq!((quote["matching"].as_u64(), quote["task_msat"].as_u64()), (Some(1), Some(10_000)));
    assert_eq!(balance(&buyer)["available_msat"], 2_000_000, "a dry run spends nothing");

    let out = buyer.path("out");
    let (said, result) = run(&buyer, &job, &out);
    assert_eq!((said.code, &result["outcome"]), (0, &json!("completed")), "{said:?}");
    for task in 0..8 {
        let log = std::fs::read_to_string(out.join(format!("logs/task-{task:06}.out"))).unwrap();
        assert_eq!(log, format!("hello from task {task}\n"));
    }

    // Eight tasks at 10 sat: what the buyer lost is what the provider and the operator got, to the millisatoshi.
    let (spent, earned) = (balance(&buyer), balance(&worker));
    assert_eq!((spent["available_msat"].as_u64(), spent["escrow_msat"].as_u64()), (Some(1_920_000), Some(0)));
    let receipt: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("receipt.json")).unwrap()).unwrap();
    let fee: u64 = receipt["body"]["leases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["books"]["fee_msat"].as_u64().unwrap())
        .sum();
    assert_eq!(earned["available_msat"].as_u64().unwrap() + fee, 80_000);
    assert_eq!(
        (receipt["body"]["paid_msat"].as_u64(), receipt["body"]["refunded_msat"].as_u64()),
        (Some(80_000), Some(920_000))
    );

    receipts_are_checked_offline(&out.join("receipt.json"), venue.first["venue"].as_str().unwrap());
    reading_commands_print_json(&buyer, &result);
    money_leaves_again(&worker, &venue);

    venue.kill();
    journals_are_checked_offline(&operator, &data);
}

fn receipts_are_checked_offline(file: &Path, venue: &str) {
    let nobody = Grist::new();
    let path = file.to_str().unwrap();
    let valid = nobody.run(&["receipt", "verify", path, "--venue", venue, "--json"]).ok().json();
    assert_eq!((&valid["valid"], &valid["paid_msat"]), (&json!(true), &json!(80_000)));
    assert!(nobody.run(&["receipt", "show", path]).ok().stdout.contains("nobody checked"));
    let shown = nobody.run(&["receipt", "show", path]).ok().stdout;
    assert!(shown.contains("nothing deters cheating: nobody checks"), "{shown}");
    assert_eq!(nobody.run(&["receipt", "show", path, "--json"]).ok().json()["deterrence"], "unverified");
    let other = nobody.run(&["receipt", "verify", path, "--venue", &"ab".repeat(32)]);
    assert_eq!(other.code, 8, "{other:?}");
    let text = std::fs::read_to_string(file).unwrap();
    for (from, to) in [("80000", "80001"), ("\"completed\"", "\"partial\""), ("\"hello\"", "\"hallo\"")] {
        assert!(text.contains(from), "{from}");
        let changed = nobody.path("changed.json");
        std::fs::write(&changed, text.replacen(from, to, 1)).unwrap();
        let said = nobody.run(&["receipt", "verify", changed.to_str().unwrap()]);
        assert_eq!(said.code, 8, "{from} to {to}: {said:?}");
    }
}

fn reading_commands_print_json(buyer: &Grist, result: &Value) {
    let job = result["job"].as_str().unwrap();
    assert_eq!(buyer.run(&["job", "list", "--json"]).ok().json()[0]["job"], job);
    let status = buyer.run(&["job", "status", job, "--json"]).ok().json();
    assert_eq!((&status["job"]["phase"], status["tasks"].as_array().unwrap().len()), (&json!("settled"), 8));
    let lease = status["job"]["leases"][0]["lease"].as_str().unwrap().to_owned();
    assert_eq!(status["job"]["leases"][0]["deterrence"], "unverified");
    let order = status["job"]["order"].as_str().unwrap().to_owned();
    assert_eq!(buyer.run(&["lease", "show", &lease, "--json"]).ok().json()["phase"], "closed");
    assert_eq!(buyer.run(&["order", "show", &order, "--json"]).ok().json()["job"], job);
    assert_eq!(buyer.run(&["order", "why", &order, "--json"]).ok().json()["phase"], "nothing");
    let offers = buyer.run(&["offers", "--json"]).ok().json();
    let offer = offers[0]["offer"].as_str().unwrap();
    assert_eq!(buyer.run(&["offers", "show", offer, "--json"]).ok().json()["offer"], offer);
    assert_eq!(buyer.run(&["offers", "why-idle", offer, "--json"]).ok().json()["offer"], offer);
    assert_eq!(buyer.run(&["job", "logs", job, "--task", "3"]).ok().stdout, "hello from task 3\n");
    let again = buyer.path("again");
    buyer.run(&["job", "results", job, "--out", again.to_str().unwrap()]).ok();
    assert!(again.join("logs/task-000007.out").exists());
    for args in [
        &["job", "list"][..],
        &["job", "status", job],
        &["order", "list"],
        &["lease", "list"],
        &["offers"],
        &["party", "show"],
    ] {
        assert!(!buyer.run(args).ok().stdout.is_empty(), "{args:?}");
    }
}

fn money_leaves_again(worker: &Grist, venue: &Service) {
    let said = worker.run(&["wallet", "withdraw", "--to", "not an invoice"]);
    assert_eq!(said.code, 3, "{said:?}");
    let before = balance(worker)["available_msat"].as_u64().unwrap();
    let bond = worker.run(&["wallet", "bond", "lock", "10sat", "--json"]).ok().json();
    assert_eq!(bond["bond_msat"], 10_000);
    assert_eq!(bond["available_msat"], before - 10_000);
    let invoice = invoice_of_the_world(&venue.address, 20_000);
    let sent = worker.run(&["wallet", "withdraw", "--to", &invoice, "--json"]).ok().json();
    let fee = sent["phase"]["sent"]["fee_msat"].as_u64().unwrap_or_else(|| panic!("{sent}"));
    assert_eq!(balance(worker)["available_msat"], before - 10_000 - 20_000 - fee);
    let said = worker.run(&["wallet", "withdraw", "--to", &invoice]);
    assert_ne!(said.code, 0, "an invoice is paid once: {said:?}");
    let said = worker.run(&["wallet", "bond", "lock", "1000000sat"]);
    assert_eq!(said.code, 6, "{said:?}");
}

/// An invoice of somebody outside the market.
fn invoice_of_the_world(address: &str, amount_msat: u64) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let invoice = runtime.block_on(async {
        let market = node::client::Market::connect(address).await.unwrap();
        market.dev_invoice(market::units::Msat(amount_msat)).await.unwrap()
    });
    invoice.bolt11
}

fn journals_are_checked_offline(operator: &Grist, data: &Path) {
    let folder = data.to_str().unwrap();
    let sound = operator.run(&["journal", "verify", folder, "--json"]).ok().json();
    let entries = sound["entries"].as_u64().unwrap();
    let dumped = operator.run(&["journal", "dump", folder, "--json"]).ok().stdout;
    assert_eq!(dumped.lines().count() as u64, entries);
    let (one, two) = (
        operator.run(&["journal", "replay", folder, "--json"]).ok(),
        operator.run(&["journal", "replay", folder, "--json"]).ok(),
    );
    assert_eq!(one.json()["state_hash"], two.json()["state_hash"]);
    assert_eq!(one.json()["entries"], entries);

    // A flipped bit near the start cannot be a torn tail: it is refused with its place.
    let segment = std::fs::read_dir(data.join("journal"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.metadata().unwrap().len() > 1_000)
        .min()
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[400] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let said = operator.run(&["journal", "verify", folder]);
    assert_eq!(said.code, 8, "{said:?}");
    assert!(said.stderr.contains("entry ") && said.stderr.contains("byte "), "{}", said.stderr);
    let said = operator.run(&["journal", "replay", folder]);
    assert_eq!(said.code, 8, "{said:?}");
}

#[test]
fn replicas_of_two_parties_agree_to_the_bit() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let _one = provider(&venue, "one", "10sat");
    let _two = provider(&venue, "two", "12sat");
    let buyer = buyer(&venue, "2000sat");
    let out = buyer.path("out");
    let (said, result) = run(&buyer, &replicated_job(&buyer), &out);
    assert_eq!((said.code, &result["outcome"]), (0, &json!("completed")), "{said:?}");
    let receipt: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("receipt.json")).unwrap()).unwrap();
    let task = &receipt["body"]["tasks"][0];
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2, "{task}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_the_job_running_and_says_how_to_go_on() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let buyer = buyer(&venue, "2000sat");
    let (job, out) = (example("hello/job.toml"), buyer.path("out"));
    let (running, said) =
        buyer.interrupted(&["run", job.to_str().unwrap(), "--yes", "--out", out.to_str().unwrap()]);
    let job = running.first["placed"]["job"].as_str().unwrap();
    assert_eq!(said.code, 130, "{said:?}");
    let error: Value = serde_json::from_str(said.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&error["error"]["code"], &error["error"]["exit_code"]), (&json!("interrupted"), &json!(130)));
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("`grist job watch {job} --out {}`", out.display())), "{message}");
    let status = buyer.run(&["job", "status", job, "--json"]).ok().json();
    assert_eq!((&status["job"]["phase"], &status["job"]["outcome"]), (&json!("waiting"), &Value::Null));
}

#[test]
fn a_job_whose_run_was_killed_is_watched_to_its_end() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let buyer = buyer(&venue, "2000sat");
    let file = replicated_job(&buyer);
    let mut running = buyer.start(&["run", file.to_str().unwrap(), "--yes"]);
    let job = running.first["placed"]["job"].as_str().unwrap().to_owned();
    running.kill();

    let _one = provider(&venue, "one", "10sat");
    let _two = provider(&venue, "two", "12sat");
    let out = buyer.path("out");
    buyer.run(&["job", "watch", &job, "--json", "--out", out.to_str().unwrap()]).ok();
    for task in 0..8 {
        let log = std::fs::read_to_string(out.join(format!("logs/task-{task:06}.out"))).unwrap();
        assert_eq!(log, format!("hello from task {task}\n"));
    }
    let venue_key = venue.first["venue"].as_str().unwrap();
    let receipt = out.join("receipt.json");
    buyer.run(&["receipt", "verify", receipt.to_str().unwrap(), "--venue", venue_key]).ok();
}

#[test]
fn a_wallet_says_until_when_an_invoice_can_be_paid() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let buyer = buyer(&venue, "5sat");
    let said = buyer.run(&["wallet", "topup", "6sat", "--no-wait"]).ok();
    let view = buyer.run(&["wallet", "topup", "6sat", "--no-wait", "--json"]).ok().json();
    let until = view["expires_at_ms"].as_u64().unwrap() / 1_000;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(until > now, "{view}");
    assert!(said.stderr.contains(" until 20"), "{}", said.stderr);
    assert!(said.stdout.starts_with("lnbcrt60n1"), "the invoice alone is the result: {}", said.stdout);
    let fiat = ["--fiat", "usd", "--fiat-rate", "100000@2026-03-01"];
    let balance = buyer.run(&[&["wallet", "balance"], &fiat[..]].concat()).ok().stdout;
    assert!(balance.contains("5 sat ($0.00500)"), "{balance}");
    assert!(balance.contains("dollars at 100000 $ a bitcoin, as of 2026-03-01, by you"), "{balance}");
    let json = buyer.run(&[&["wallet", "balance", "--json"], &fiat[..]].concat()).ok().json();
    assert_eq!(json["btc_rate"]["as_of"], "2026-03-01");
    let said = buyer.run(&["wallet", "balance", "--fiat", "usd"]);
    assert_eq!(said.code, 2, "no rate is made up: {said:?}");
    assert!(said.stderr.contains("prices.toml"), "{}", said.stderr);
}

#[test]
fn a_job_that_costs_more_than_there_is_says_what_to_do() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let buyer = buyer(&venue, "10sat");
    let job = example("hello/job.toml");
    let said = buyer.run(&["run", job.to_str().unwrap(), "--yes"]);
    assert_eq!(said.code, 6, "{said:?}");
    assert!(said.stderr.contains("grist wallet topup 990sat --pay"), "{}", said.stderr);
    let said = buyer.run(&["run", job.to_str().unwrap(), "--yes", "--max-price", "1sat"]);
    assert_eq!(said.code, 6, "{said:?}");
}

#[test]
fn a_detached_job_is_cancelled_and_its_money_comes_back() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let buyer = buyer(&venue, "2000sat");
    let job = example("hello/job.toml");
    let placed =
        buyer.run(&["run", job.to_str().unwrap(), "--yes", "--detach", "--max-price", "500sat"]).ok();
    let job = placed.stdout.trim();
    assert_eq!(balance(&buyer)["escrow_msat"], 500_000);
    let why = buyer.run(&["offers", "--why", "order-1"]).ok().stdout;
    assert!(why.contains("no standing offers"), "{why}");
    buyer.run(&["job", "cancel", job]).ok();
    assert_eq!(balance(&buyer)["available_msat"], 2_000_000);
    let said = buyer.run(&["job", "watch", job, "--out", buyer.path("out").to_str().unwrap()]);
    assert_eq!(said.code, 7, "{said:?}");
    assert!(said.stderr.contains("was cancelled"), "{}", said.stderr);
}

#[test]
fn a_key_is_rotated_and_the_old_one_is_worth_nothing() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let party = buyer(&venue, "5sat");
    let before = std::fs::read(party.path("party.key")).unwrap();
    let rotated = party.run(&["party", "rotate", "--json"]).ok().json();
    assert_eq!(balance(&party)["available_msat"], 5_000);
    assert_ne!(std::fs::read(party.path("party.key")).unwrap(), before);
    let old = rotated["old_file"].as_str().unwrap();
    let said = party.run(&["--key", old, "wallet", "balance"]);
    assert_eq!(said.code, 9, "{said:?}");
    assert!(said.stderr.contains("rotated away"), "{}", said.stderr);
}

#[test]
fn the_shipped_module_of_the_smallest_example_is_its_source() {
    let source = wat::parse_file(example("hello/hello.wat")).unwrap();
    assert_eq!(std::fs::read(example("hello/hello.wasm")).unwrap(), source);
}
