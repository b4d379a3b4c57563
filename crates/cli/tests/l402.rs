//! What costs something, at the command line; and rights that are handed on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use market::{command::Command, key::SecretKey};
use node::client::Market;
use program::{Grist, Service, example, wait_for_offer};

/// A market that charges for blobs.
fn market(operator: &Grist) -> Service {
    let data = operator.path("market");
    let price = ["--price-blob-mib", "2sat", "--price-offer-stream", "1sat"];
    let args = ["market", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    operator.start(&[&args[..], &price].concat())
}

/// A blob of somebody else's, and where it is.
fn blob(at: &Service) -> String {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let market = Market::connect(&at.address).await.unwrap();
        let secret = SecretKey::from_bytes([1; 32]);
        market.submit(&secret, Command::RegisterParty { label: "somebody".into() }).await.unwrap();
        let digest = market.put_blob(&secret, "a film").await.unwrap();
        format!("{}/v1/blobs/{digest}", at.address)
    })
}

#[test]
fn what_costs_something_is_paid_up_to_the_limit_and_once() {
    let operator = Grist::new();
    let venue = market(&operator);
    let (url, grist) = (blob(&venue), Grist::at(&venue));
    let refused = grist.run(&["fetch", &url]);
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains("costs 2 sat") && refused.stderr.contains("--max-pay"), "{refused:?}");
    assert_eq!(grist.run(&["--max-pay", "1sat", "fetch", &url]).code, 6);
    assert_eq!(grist.run(&["token", "list", "--json"]).ok().json(), serde_json::json!([]));

    let paid = grist.run(&["fetch", &url, "--max-pay", "5sat"]).ok();
    assert_eq!((paid.stdout.as_str(), paid.stderr.trim()), ("a film", "paid 2 sat"));
    let file = grist.path("film");
    let again = grist.run(&["--json", "fetch", &url, "-o", file.to_str().unwrap()]).ok().json();
    assert_eq!((&again["spent_msat"], &again["bytes"]), (&0.into(), &6.into()), "the token is still good");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "a film");
    let listed = grist.run(&["token", "list", "--json"]).ok();
    assert_eq!(
        (&listed.json()[0]["phase"], &listed.json()[0]["price_msat"]),
        (&"paid".into(), &2_000.into())
    );
    assert!(!listed.stdout.contains("macaroon") && !listed.stdout.contains("\"token\""), "{listed:?}");

    let headers = grist.run(&["fetch", "-i", &format!("{}/v1/offers/stream", venue.address)]);
    assert_eq!(headers.code, 6, "the stream costs something, too: {headers:?}");
}

#[test]
fn without_a_wallet_the_invoice_is_printed() {
    let operator = Grist::new();
    let venue = market(&operator);
    let url = blob(&venue);
    // No market is named, so there is no play money to pay with.
    let grist = Grist::new();
    let told = grist.run(&["fetch", &url, "--max-pay", "5sat"]);
    assert_eq!(told.code, 6, "{told:?}");
    let invoice = told.stderr.lines().find(|line| line.starts_with("lnbcrt")).unwrap().to_owned();
    let preimage = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let market = Market::connect(&venue.address).await.unwrap();
        let paid = market.dev_pay(&invoice).await.unwrap();
        serde_json::to_value(paid).unwrap()["preimage"].as_str().unwrap().to_owned()
    });
    assert_eq!(grist.run(&["token", "paid", &"00".repeat(32)]).code, 3);
    grist.run(&["token", "paid", &preimage]).ok();
    assert_eq!(grist.run(&["fetch", &url]).ok().stdout, "a film");
}

#[test]
fn a_friend_reads_the_logs_of_a_lease_with_a_token() {
    let operator = Grist::new();
    let venue = market(&operator);
    let worker = Grist::at(&venue);
    let provide = ["provide", "--label", "worker", "--class", "test", "--price-per-task", "10sat"];
    let room = ["--max-cpus", "1", "--max-memory", "512MiB"];
    let providing = worker.start(&[&provide[..], &room].concat());
    wait_for_offer(&venue, providing.first["machine"].as_str().unwrap());
    let buyer = Grist::at(&venue);
    buyer.run(&["wallet", "topup", "2000sat", "--pay"]).ok();
    let (job, out) = (example("hello/job.toml"), buyer.path("out"));
    buyer.run(&["run", job.to_str().unwrap(), "--yes", "--out", out.to_str().unwrap()]).ok();
    let lease = buyer.run(&["lease", "list", "--json"]).ok().json()[0]["lease"].as_str().unwrap().to_owned();

    let mint = ["token", "mint", "--lease", &lease, "--can", "logs", "--until", "1d"];
    let token = buyer.run(&mint).ok().stdout.trim().to_owned();
    let friend = Grist::at(&venue);
    assert_ne!(friend.run(&["lease", "logs", &lease]).code, 0, "without it, nothing");
    let logs = friend.run(&["lease", "logs", &lease, "--token", &token]).ok();
    assert_eq!(logs.stdout, buyer.run(&["lease", "logs", &lease]).ok().stdout);
    assert!(logs.stdout.contains("task 0"), "{logs:?}");
    let results = friend.run_with(&["--json", "lease", "results", &lease, "--token", "-"], &token).ok();
    assert_eq!(results.json()[0]["task"], 0);

    let shown = friend.run(&["token", "show", &token, "--json"]).ok().json();
    assert_eq!(shown["caveats"][1], format!("grist_lease={lease}"));
    assert_eq!(friend.run(&["token", "verify", &token, "--json"]).ok().json()["lease"], lease);
    let once =
        friend.run(&["token", "mint", "--from", &token, "--max-uses", "9", "--until", "1h"]).ok().stdout;
    assert_eq!(friend.run(&["token", "verify", once.trim(), "--json"]).ok().json()["max_uses"], 9);
    let wider = friend.run(&["token", "mint", "--from", &token, "--can", "status,logs"]);
    assert_eq!(wider.code, 3, "{wider:?}");
    let wrong = friend.run(&["token", "mint", "--lease", &lease, "--can", "logs", "--until", "2020-01-01"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}
