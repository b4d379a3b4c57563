//! `--lightning lnd:ADDRESS` from the command line, as processes: a market, a provider and a buyer, each with an LND of its own
//! that is stood in for, and what the program says when it cannot get in.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;
#[allow(dead_code, reason = "it can do more than this test asks for")]
#[path = "../../pay/tests/lnd/server.rs"]
mod server;
#[path = "../../pay/tests/lnd/wire.rs"]
mod wire;

use data_encoding::HEXLOWER;
use market::units::{Msat, TimeMs};
use pay::{
    LightningNode,
    dev::{DevNetwork, DevNode},
};
use program::{Grist, example, wait_for_offer};
use server::{MACAROON, Serving, StandIn};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};
use tokio::runtime::Runtime;

fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    TimeMs(u64::try_from(since.as_millis()).unwrap())
}

/// An LND, and what its operator gives to `grist`.
struct Lnd {
    dev: DevNode,
    serving: Serving,
    folder: tempfile::TempDir,
}

impl Lnd {
    fn start(runtime: &Runtime, network: &DevNetwork, name: &str) -> Lnd {
        let dev = network.node(name);
        let _guard = runtime.enter();
        let serving = StandIn::new(dev.clone(), "regtest", now).serve();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tls.cert"), &serving.certificate).unwrap();
        secret(folder.path(), MACAROON);
        Lnd { dev, serving, folder }
    }

    fn options(&self) -> Vec<String> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let place = format!("lnd:{}", self.serving.address);
        ["--lightning", &place, "--lnd-macaroon", &file("grist.macaroon"), "--lnd-cert", &file("tls.cert")]
            .map(str::to_owned)
            .to_vec()
    }

    fn spendable(&self, runtime: &Runtime) -> Msat {
        runtime.block_on(self.dev.balance()).unwrap().spendable
    }
}

fn secret(folder: &Path, bytes: &[u8]) -> PathBuf {
    let file = folder.join("grist.macaroon");
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn with<'a>(args: &[&'a str], options: &'a [String]) -> Vec<&'a str> {
    args.iter().copied().chain(options.iter().map(String::as_str)).collect()
}

/// Every file below a folder, whole.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.is_file() {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found
}

#[test]
fn a_held_job_is_paid_from_one_lnd_to_another_and_the_market_has_its_own() {
    let runtime = Runtime::new().unwrap();
    let network = DevNetwork::new([7; 32], now);
    let [markets, providers, buyers] =
        ["market", "provider", "buyer"].map(|name| Lnd::start(&runtime, &network, name));
    network.issue(&buyers.dev, Msat(100_000_000)).unwrap();

    let operator = Grist::new();
    let data = operator.path("market");
    let open = ["market", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let venue = operator.start(&with(&open, &markets.options()));
    assert_eq!(venue.first["payments"], "lnd");

    let worker = Grist::at(&venue);
    let config = worker.path("provide.toml");
    fs::write(&config, "hold_slice_min = \"20 sat\"\n").unwrap();
    let sell = ["--class", "test", "--price-per-task", "10sat", "--max-cpus", "1", "--max-memory", "512MiB"];
    let sell = [&["provide", "--config", config.to_str().unwrap()], &sell[..]].concat();
    let working = worker.start(&with(&sell, &providers.options()));
    wait_for_offer(&venue, working.first["machine"].as_str().unwrap());

    let buyer = Grist::at(&venue);
    let (folder, out) = (buyer.path("job"), buyer.path("out"));
    fs::create_dir(&folder).unwrap();
    fs::copy(example("hello/hello.wasm"), folder.join("hello.wasm")).unwrap();
    let text = fs::read_to_string(example("hello/job.toml")).unwrap();
    let file = folder.join("job.toml");
    fs::write(&file, text.replace("slots = 2 ", "slots = 1 ")).unwrap();
    let order = ["run", file.to_str().unwrap(), "--yes", "--hold", "4x20sat", "--out", out.to_str().unwrap()];
    let said = buyer.run(&with(&order, &buyers.options())).ok();

    // Eight tasks at 10 sat less 2 %: three slices of 20 sat moved from one LND to the other, the fourth came back.
    let receipt: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("receipt.json")).unwrap()).unwrap();
    let leases = receipt["body"]["leases"].as_array().unwrap();
    let released: Vec<_> =
        leases.iter().map(|lease| &lease["hold"]["released"]).filter(|n| **n != 0).collect();
    assert_eq!(released, [3], "{receipt}");
    assert_eq!(providers.spendable(&runtime), Msat(60_000));
    let of_buyer = runtime.block_on(buyers.dev.balance()).unwrap();
    assert_eq!(of_buyer.in_flight, Msat::ZERO, "{said:?}");
    assert!(markets.spendable(&runtime) > Msat::ZERO, "the reserve was paid in");
    network.check().unwrap();

    // What lets grist in stands nowhere but where the operator put it.
    let hex = HEXLOWER.encode(MACAROON);
    for (path, bytes) in [&operator, &worker, &buyer].into_iter().flat_map(|grist| contents(&grist.path("")))
    {
        let has = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!has(MACAROON) && !has(hex.as_bytes()), "{}", path.display());
    }
    assert!(!said.stderr.contains(&hex) && !said.stdout.contains(&hex));
}

#[test]
fn what_is_missing_or_wrong_is_said_before_a_market_opens() {
    let grist = Grist::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = format!("lnd:{closed}");
    let said = grist.run(&["market", "--lightning", &node]);
    assert!(said.code == 2 && said.stderr.contains("needs --lnd-macaroon"), "{said:?}");

    let macaroon = secret(&grist.path(""), b"0201036c6e64");
    let certificate = grist.path("tls.cert");
    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let (macaroon, certificate) = (macaroon.to_str().unwrap(), certificate.to_str().unwrap());
    let swapped =
        grist.run(&["market", "--lightning", &node, "--lnd-macaroon", macaroon, "--lnd-cert", macaroon]);
    assert!(swapped.stderr.contains("holds no certificate"), "{swapped:?}");

    // The same options in a file: the only thing wrong is that nobody is there.
    let file = grist.path("market.toml");
    let text = format!("payments = {node:?}\nlnd_macaroon = {macaroon:?}\nlnd_cert = {certificate:?}\n");
    fs::write(&file, text).unwrap();
    let said = grist.run(&["market", "--config", file.to_str().unwrap()]);
    assert!(said.stderr.contains(&format!("no LND answers at {closed}")), "{said:?}");

    fs::set_permissions(macaroon, fs::Permissions::from_mode(0o644)).unwrap();
    let said = grist.run(&["market", "--config", file.to_str().unwrap()]);
    assert!(said.stderr.contains("chmod 600"), "{said:?}");
    let said = grist.run(&["market", "--lightning", "lnd:http://127.0.0.1:8080"]);
    assert!(said.code == 2 && said.stderr.contains("names no Lightning node"), "{said:?}");
}
