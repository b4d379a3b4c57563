//! `grist econ`: every question from the command line, without a market.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use program::Grist;
use std::fs;

/// A way to ask each question that needs nothing from outside.
const QUESTIONS: [&[&str]; 16] = [
    &["breakeven"],
    &["breakeven", "rtx4090-system", "--tariff", "0.3", "--price", "300sat", "--residual", "40%"],
    &["rates", "mac-mini-m4-pro"],
    &["compare", "--gpu", "A100", "--count", "8", "--hours", "100", "--mtbf", "spot=24"],
    &["rent-or-mine", "--region", "Texas"],
    &["miner", "--token-usd", "100", "--exponent", "0.5"],
    &["swarm", "--peers", "100", "--sats-per-hour", "200", "--speed", "A100=4%"],
    &["simulate", "--paths", "500", "--paid-in", "token-held", "--token-drift", "-0.5"],
    &["energy"],
    &["network", "--figures", "FIGURES"],
    &["self", "--watts", "60", "--earned", "500sat", "--hours", "24"],
    &["mechanism", "run"],
    &["catalog", "list"],
    &["catalog", "show", "tariffs"],
    &["catalog", "show", "market-prices", "vast"],
    &["catalog", "doubts"],
];

fn figures(grist: &Grist) -> String {
    let file = grist.path("figures.csv");
    let text = "network,figure,name,value,unit,kind,as_of,source\n\
                Hive,registered_hours,,1000,h,,2026-10,test\n\
                Hive,earning_hours,,250,h,,2026-10,test\n\
                Hive,payment,bee,900,usd,outside,2026-10,test\n\
                Hive,payment,wasp,100,usd,own,2026-10,test\n";
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn every_question_answers_in_words_in_json_and_in_csv() {
    let grist = Grist::new();
    let file = figures(&grist);
    for question in QUESTIONS {
        let asked: Vec<&str> =
            question.iter().map(|word| if *word == "FIGURES" { file.as_str() } else { word }).collect();
        let ask = |more: &[&str]| grist.run(&[&["econ"], asked.as_slice(), more].concat()).ok();
        let told = ask(&[]).stdout;
        assert!(told.lines().count() > 3, "{question:?}: {told}");
        let json = ask(&["--json"]).json();
        for part in ["answer", "figures", "notes", "warnings"] {
            assert!(!json[part].is_null(), "{question:?} has no {part}");
        }
        let csv = ask(&["--csv"]).stdout;
        let keys = csv.lines().find(|line| !line.starts_with('#')).unwrap();
        assert!(keys.split(',').all(|key| !key.is_empty() && !key.contains(' ')), "{question:?}: {keys}");
    }
}

#[test]
fn an_input_that_cannot_be_is_refused_with_what_would_be_right() {
    let grist = Grist::new();
    let refused = |words: &str| {
        let said = grist.run(&words.split(' ').collect::<Vec<_>>());
        assert!(matches!(said.code, 2 | 3), "{words}: {} {}", said.code, said.stderr);
        assert_eq!(said.stdout, "", "{words}");
        said.stderr.lines().next().unwrap().to_owned()
    };
    let words = [
        "econ breakeven --watts 0",
        "econ breakeven --watts -5",
        "econ breakeven --utilization 130%",
        "econ breakeven --region Califronia",
        "econ breakeven rtx4090",
        "econ breakeven --price 0.17",
        "econ compare --gpu A10O",
        "econ miner --network Bitensor",
        "econ simulate --months 0",
        "econ catalog show tarifs",
    ];
    insta::assert_snapshot!(words.map(refused).join("\n"), @r"
    error: the power is 0; it has to be from 0.1 to 1000000 W
    error: the power is -5; it has to be from 0.1 to 1000000 W
    error: the utilization is 1.30; it has to be from 0.001 to 1 (a fraction: 0.45 is 45 %)
    error: the catalogue has no region `Califronia`; did you mean `California`?
    error: the catalogue has no hardware `rtx4090`; did you mean `rtx4090-system`?
    error: invalid value '0.17' for '--price <AMOUNT>': `0.17` has no currency: write usd, usdc, btc, sat, msat, or a token that the catalogue has a price for
    error: the catalogue has no price of the accelerator `A10O`; did you mean `A100`?
    error: the catalogue has no network figure `Bitensor token_price`; did you mean `Bittensor token_price`?
    error: the number of months is 0; it has to be from 1 to 120
    error: tarifs: the catalogue has no table `tarifs`; did you mean `tariffs`?
    ");
}

#[test]
fn prices_of_ones_own_and_of_feeds_change_the_answers() {
    let grist = Grist::new();
    let write = |name: &str, text: &str| {
        let file = grist.path(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let tariff = || grist.run(&["econ", "breakeven", "mac-mini-m4-pro", "--region", "Vermont", "--json"]);
    assert_eq!(tariff().code, 2, "nobody knows Vermont");
    let feed =
        write("feed.csv", "kind,name,price,currency,as_of,source\ntariff,Vermont,0.22,usd,2026-10,feed\n");
    grist.run(&["econ", "catalog", "refresh", &feed]).ok();
    assert_eq!(tariff().ok().json()["answer"]["usd_per_kwh"], 0.22);
    let own = write("tariffs.csv", "region,usd_per_kwh,as_of\nVermont,0.25,2026-11\n");
    grist.run(&["econ", "catalog", "import", &own]).ok();
    assert_eq!(tariff().ok().json()["answer"]["usd_per_kwh"], 0.25);
    let broken = write("feed.csv", "kind,name,price,currency,as_of\ntariff,Vermont,NaN,usd,2026-10\n");
    let said = grist.run(&["econ", "catalog", "refresh", &broken]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("NaN"), "{}", said.stderr);
    assert_eq!(tariff().ok().json()["answer"]["usd_per_kwh"], 0.25, "a feed that is refused changes nothing");
}

#[test]
fn the_catalogue_is_exported_and_imported_again() {
    let grist = Grist::new();
    let folder = grist.path("catalogue");
    grist.run(&["econ", "catalog", "export", folder.to_str().unwrap(), "--format", "toml"]).ok();
    let file = folder.join("prices.toml").display().to_string();
    let changes = grist.run(&["econ", "catalog", "import", &file, "--json"]).ok().json();
    assert!(changes["answer"]["changes"].as_array().unwrap().len() > 50);
}

#[test]
fn the_report_is_one_page_that_loads_nothing() {
    let grist = Grist::new();
    let file = grist.path("report.html");
    grist.run(&["econ", "report", "-o", file.to_str().unwrap(), "--figures", &figures(&grist)]).ok();
    let page = fs::read_to_string(file).unwrap();
    assert!(page.contains("<svg") && page.contains("Hive"));
    for outside in ["<script", "<link", "src=", "@import", "url(http"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_price_is_explained_without_a_market() {
    let costs = ["--watts", "100", "--tariff", "0.40", "--paid-for", "--margin", "0%", "--btc-usd", "100000"];
    let asked = [&["provide", "--explain-price", "--price", "auto", "--max-cpus", "1", "--json"], &costs[..]]
        .concat();
    let json = Grist::new().run(&asked).ok().json();
    assert_eq!(json["answer"]["floor"]["msat_per_hour"], 40_000);
    assert_eq!(json["answer"]["hour"], serde_json::json!({ "because": "alone", "msat": 40_000 }));
}
