//! Holds, sessions and keys of results from the command line, as processes: every side with a wallet of play money of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use program::{Grist, Service, example, market, reopened, wait_for_offer};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A provider whose wallet takes slices of 20 sat and more.
fn provider(at: &Service) -> (Grist, Service) {
    let grist = Grist::at(at);
    let config = grist.path("provide.toml");
    std::fs::write(&config, "hold_slice_min = \"20 sat\"\n").unwrap();
    let (price, size) = (["--price-per-task", "10sat"], ["--max-cpus", "1", "--max-memory", "512MiB"]);
    let mut args =
        vec!["provide", "--config", config.to_str().unwrap(), "--lightning", "dev", "--class", "test"];
    args.extend(price.into_iter().chain(size));
    let service = grist.start(&args);
    wait_for_offer(at, service.first["machine"].as_str().unwrap());
    (grist, service)
}

/// Eight tasks on one machine.
fn job(buyer: &Grist) -> PathBuf {
    let folder = buyer.path("job");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(example("hello/hello.wasm"), folder.join("hello.wasm")).unwrap();
    let text = std::fs::read_to_string(example("hello/job.toml")).unwrap();
    std::fs::write(folder.join("job.toml"), text.replace("slots = 2 ", "slots = 1 ")).unwrap();
    folder.join("job.toml")
}

fn available(grist: &Grist) -> u64 {
    let balance = grist.run(&["wallet", "balance", "--json"]).ok().json();
    balance["available_msat"].as_u64().unwrap()
}

/// The one hold that was paid. A market killed while it answers loses invoices of its play money, and a hash serves no
/// second one: the provider gives such a lease back unpaid and gets another.
fn the_paid_hold(holds: &Value) -> &Value {
    let holds = holds.as_array().unwrap();
    let paid: Vec<_> = holds.iter().filter(|hold| hold["released"] != 0).collect();
    assert_eq!(paid.len(), 1, "{holds:?}");
    paid[0]
}

fn check_receipt(buyer: &Grist, receipt: &Path) {
    let path = receipt.to_str().unwrap();
    let checked = buyer.run(&["receipt", "verify", path, "--json"]).ok().json();
    // 80 sat less 2 %: three slices of 20 and 18.400 out of the reserve.
    let hold = the_paid_hold(&checked["holds"]);
    assert_eq!((&hold["released"], &hold["returned_msat"]), (&json!(3), &json!(20_000)));
    let shown = buyer.run(&["receipt", "show", path]).ok().stdout;
    let hash = hold["payment_hashes"][3].as_str().unwrap();
    assert!(shown.contains("holds of 4 × 20 sat for each lease") && shown.contains(hash), "{shown}");
    assert!(shown.contains("the buyer again"), "{shown}");
}

#[test]
fn a_job_is_paid_out_of_what_the_providers_wallet_holds_whoever_is_killed() {
    let operator = Grist::new();
    let data = operator.path("market");
    let mut venue = market(&operator, &data);
    let (worker, _providing) = provider(&venue);
    let buyer = Grist::at(&venue);
    let file = job(&buyer);
    let pay = ["--hold", "4x20sat", "--lightning", "dev"];
    let said = buyer.run(&[&["run", file.to_str().unwrap(), "--dry-run"], &pay[..]].concat());
    assert!(said.stdout.contains("nobody in the middle has what is held"), "{said:?}");
    assert!(said.stdout.contains("The market alone releases"), "{said:?}");

    let mut running = buyer.start(&[&["run", file.to_str().unwrap(), "--yes"], &pay[..]].concat());
    let placed = running.first["placed"]["job"].as_str().unwrap().to_owned();
    running.kill();
    venue.kill();
    let _venue = reopened(&operator, &data, &venue);
    let out = buyer.path("out");
    let watch = ["job", "watch", &placed, "--lightning", "dev", "--out", out.to_str().unwrap()];
    buyer.run(&watch).ok();
    check_receipt(&buyer, &out.join("receipt.json"));
    assert_eq!(available(&worker), 18_400);

    let status = buyer.run(&["job", "status", &placed, "--json"]).ok().json();
    let lease = the_paid_hold(&status["job"]["holds"])["lease"].as_str().unwrap();
    let shown = buyer.run(&["lease", "show", lease]).ok().stdout;
    assert_eq!(shown.matches("the provider's").count(), 3, "{shown}");
    assert!(buyer.run(&["job", "status", &placed]).ok().stdout.contains("back to you"));
}

/// A party with a bond.
fn bonded(at: &Service) -> Grist {
    let grist = Grist::at(at);
    grist.run(&["wallet", "topup", "100sat", "--pay"]).ok();
    grist.run(&["wallet", "bond", "lock", "100sat"]).ok();
    grist
}

#[test]
fn results_are_paid_for_when_they_are_verified_and_opened_with_the_key() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let (worker, checker) = (bonded(&venue), bonded(&venue));
    let config = worker.path("provide.toml");
    std::fs::write(&config, "decrypt_deposit_min = \"25%\"\n").unwrap();
    let machine =
        ["--price-per-task", "10sat", "--max-cpus", "1", "--max-memory", "512MiB", "--class", "test"];
    let without = worker.run(&[&["provide", "--config", config.to_str().unwrap()], &machine[..]].concat());
    assert!(without.code != 0 && without.stderr.contains("--lightning"), "{without:?}");
    let sells = ["provide", "--config", config.to_str().unwrap(), "--lightning", "dev"];
    let providing = worker.start(&[&sells, &machine[..]].concat());
    let checking = checker.start(&[&["validate"], &machine[..]].concat());
    for service in [&providing, &checking] {
        wait_for_offer(&venue, service.first["machine"].as_str().unwrap());
    }
    let buyer = Grist::at(&venue);
    let (file, out) = (job(&buyer), buyer.path("out"));
    let pay = ["run", file.to_str().unwrap(), "--decrypt", "--lightning", "dev"];
    let unverified = buyer.run(&pay);
    assert!(unverified.code == 3 && unverified.stderr.contains("vouch"), "{unverified:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("method = \"none\" ", "method = \"replicas\"\nagree = 2\nof = 3\n#"))
        .unwrap();
    let said = buyer.run(&[&pay[..], &["--dry-run"]].concat()).ok();
    for part in ["49 sat for the key", "Fair up to the provider's bond", "deposits of up to 12.500 sat"] {
        assert!(said.stdout.contains(part), "`{part}` is not in {said:?}");
    }
    buyer.run(&[&pay[..], &["--yes", "--out", out.to_str().unwrap()]].concat()).ok();

    let receipt = out.join("receipt.json");
    let checked = buyer.run(&["receipt", "verify", receipt.to_str().unwrap(), "--json"]).ok().json();
    let sales = checked["sales"].as_array().unwrap();
    assert_eq!((sales.len(), &checked["funding"]["decrypt"]["deposit_ppm"]), (8, &json!(250_000)));
    for sale in sales {
        assert_eq!((&sale["fate"], &sale["price"]["price_msat"]), (&json!("sold"), &json!(10_000)));
    }
    let shown = buyer.run(&["receipt", "show", receipt.to_str().unwrap()]).ok().stdout;
    let hash = sales[0]["encrypted"]["payment_hash"].as_str().unwrap();
    assert!(shown.contains("KEY OF TASK") && shown.contains(hash) && shown.contains("sold"), "{shown}");
    let paid = worker.run(&["wallet", "balance", "--json"]).ok().json();
    assert_eq!(paid["available_msat"], 0, "what it sold went past the market");
    let id = checked["job"].as_str().unwrap();
    assert!(buyer.run(&["job", "status", id]).ok().stdout.contains("KEY OF TASK"));
}

#[test]
fn a_session_takes_what_it_needs_from_the_buyers_wallet() {
    let operator = Grist::new();
    let venue = market(&operator, &operator.path("market"));
    let (worker, _providing) = provider(&venue);
    let buyer = Grist::at(&venue);
    let (file, out) = (job(&buyer), buyer.path("out"));
    let said = buyer.run(&[
        "run",
        file.to_str().unwrap(),
        "--session",
        "25sat",
        "--lightning",
        "dev",
        "--yes",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("the market has at most 31.250 sat of yours at a time"), "{}", said.stderr);
    assert_eq!(available(&worker), 78_400);
    let receipt: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("receipt.json")).unwrap()).unwrap();
    assert_eq!(receipt["body"]["paid_msat"], 80_000);
    let shown = buyer.run(&["receipt", "show", out.join("receipt.json").to_str().unwrap()]).ok().stdout;
    assert!(shown.contains("a session of 25 sat at a time"), "{shown}");
}

#[test]
fn a_plan_says_which_way_to_pay_and_who_can_lose_what() {
    let grist = Grist::new();
    let plan = ["escrow", "plan", "--amount", "250000sat", "--hours", "1", "--claim-cost", "1500sat"];
    let said = grist.run(&plan).ok().stdout;
    for part in [
        "take           a hold",
        "hold = { slice = \"31250 sat\", slices = 8 }",
        "23 blocks",
        "not this one: the market would have 78125 sat of the buyer's money",
        "market and provider together",
    ] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
    let told = grist.run(&[&plan[..], &["--json"]].concat()).ok().json();
    assert_eq!((&told["chosen"], told["ways"].as_array().unwrap().len()), (&json!("hold"), 3));
    let file = example("hello/job.toml");
    let of_job = ["escrow", "plan", file.to_str().unwrap(), "--claim-cost", "1500sat", "--json"];
    assert_eq!(grist.run(&of_job).ok().json()["chosen"], "session");
    let said = grist.run(&["escrow", "plan", "--amount", "5sat", "--hours", "1"]);
    assert!(said.code == 2 && said.stderr.contains("--claim-cost"), "{said:?}");
}

#[test]
fn a_way_of_paying_that_is_none_is_answered_with_what_is() {
    let grist = Grist::new();
    let file = example("hello/job.toml");
    let wrong = |args: &[&str]| {
        let said = grist.run(&[&["run", file.to_str().unwrap()], args].concat());
        assert_eq!(said.code, 2, "{said:?}");
        said.stderr
    };
    assert!(wrong(&["--hold", "four"]).contains("like 4x100000sat"));
    assert!(wrong(&["--session", "soon"]).contains("like \"5000 sat\""));
    assert!(wrong(&["--lightning", "cln"]).contains("say dev, ldk:FOLDER or lnd:ADDRESS"));
    assert!(wrong(&["--session", "5sat", "--hold", "1x5sat"]).contains("cannot be used with"));
    assert!(wrong(&["--session", "5sat", "--decrypt"]).contains("cannot be used with"));
}
