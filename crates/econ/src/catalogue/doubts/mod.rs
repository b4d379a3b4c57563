//! What sources claim about the sector, each beside what the arithmetic makes of it.
//!
//! Nothing here is a verdict by taste: a claim is set against figures of the catalogue, so that a person's own figures
//! change the verdicts. What the figures cannot decide is said to be undecided, with what is missing.

mod desk;
mod hosts;
mod machines;
mod prices;
mod token_network;

use super::{Catalogue, Claim, Dispute, YOU};
use crate::{
    answer::{Answer, Cell, Figures, Table},
    date::AsOf,
    money::BtcRate,
    question::{QuestionError, bitcoin},
};
use desk::{Desk, Finding, Stop};
use serde::Serialize;

/// What the arithmetic says of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The figures give what is claimed, to a twentieth.
    Holds,
    /// Some of the figures do.
    HoldsInPart,
    /// None of them does.
    DoesNotHold,
    /// These figures do not decide it.
    CannotBeChecked,
}

impl Verdict {
    /// It in words.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::HoldsInPart => "holds in part",
            Verdict::DoesNotHold => "does not hold",
            Verdict::CannotBeChecked => "cannot be checked",
        }
    }
}

/// A claim beside the arithmetic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubt {
    /// What is claimed.
    pub claim: String,
    /// The figure, as its source writes it, with its unit.
    pub figure: String,
    /// Who claims it.
    pub source: String,
    /// When.
    pub as_of: AsOf,
    /// What the catalogue's figures give, with the sum.
    pub arithmetic: String,
    /// What follows.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub why: String,
    /// What was noticed when the claim was noted down.
    pub note: String,
}

/// All claims, and the figures on which sources disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubts {
    /// Each claim of the catalogue.
    pub doubts: Vec<Doubt>,
    /// Figures that two sources give differently.
    pub disputes: Vec<Dispute>,
    figures: Figures,
}

type Check = fn(&mut Desk<'_>) -> Result<Finding, Stop>;

/// How each claim is checked, by how it begins.
const CHECKS: &[(&str, Check)] = &[
    ("DePIN market capitalization", prices::market_capitalization),
    ("DePIN on-chain revenue", prices::revenue),
    ("DePIN GPU price against hyperscalers", prices::times_cheaper),
    ("Akash against centralized providers", prices::percent_cheaper),
    ("CoreWeave against AWS for an A100", prices::two_clouds),
    ("Cloud 8xH100", prices::node_of_h100),
    ("Reserved discount", prices::reserved_discount),
    ("RTX 4090 realistic monthly host earning", hosts::monthly_earning),
    ("RTX 4090 gross range for host earnings", hosts::gross_range),
    ("Build of ", hosts::payback),
    ("Migration of ", hosts::migration),
    ("Worth my time ", hosts::worth_my_time),
    ("Swarm of ", hosts::swarm),
    ("GPU and Mac resale value", machines::resale),
    ("RTX 4090 against Apple Silicon training throughput", machines::against_apple),
    ("Bittensor total staked", token_network::staked),
    ("Bittensor circulating supply", token_network::circulating),
    ("Bittensor registration", token_network::entry),
    ("Bittensor stake to compete", token_network::entry),
    ("Bittensor miner GPU cost in the cloud", token_network::miner_in_the_cloud),
    ("Bittensor miner GPU cost own hardware", token_network::miner_on_own_hardware),
];

/// Sets each claim of the catalogue beside its arithmetic. `btc` takes the place of the catalogue's rate.
pub fn doubts(catalogue: &Catalogue, btc: Option<&BtcRate>) -> Result<Doubts, QuestionError> {
    let mut figures = Figures::default();
    let rate = bitcoin(btc, catalogue, &mut figures)?;
    let mut doubts = Vec::new();
    for claim in &catalogue.claims {
        figures.cite_row(claim, format!("{} {}", claim.figure, claim.unit));
        let mut desk = Desk { catalogue, rate: &rate, claim, figures: &mut figures };
        doubts.push(doubt(&mut desk));
    }
    Ok(Doubts { doubts, disputes: catalogue.disputes(), figures })
}

fn doubt(desk: &mut Desk<'_>) -> Doubt {
    let Claim { claim, figure, unit, as_of, source, note } = desk.claim;
    let check = CHECKS.iter().find(|(start, _)| claim.starts_with(start));
    let finding = match check {
        Some((_, check)) => check(desk).unwrap_or_else(|stop| Finding::undecided("", stop.to_string())),
        None => Finding::undecided("", "no sum for such a claim is known here"),
    };
    Doubt {
        claim: claim.clone(),
        figure: format!("{figure} {unit}"),
        source: source.clone(),
        as_of: *as_of,
        arithmetic: finding.arithmetic,
        verdict: finding.verdict,
        why: finding.why,
        note: note.clone(),
    }
}

impl Answer for Doubts {
    fn title(&self) -> String {
        "What is claimed, and what the arithmetic gives".to_owned()
    }

    fn tables(&self) -> Vec<Table> {
        let mut claims = Table::new(
            "doubts",
            self.title(),
            &[
                ("claim", "claim"),
                ("figure", "claimed"),
                ("arithmetic", "the sum"),
                ("verdict", "verdict"),
                ("why", "why"),
                ("note", "noticed"),
                ("source", "by"),
                ("as_of", "as of"),
            ],
        );
        for row in &self.doubts {
            let as_of = row.as_of.to_string();
            let texts = [&row.claim, &row.figure, &row.arithmetic, row.verdict.words(), &row.why, &row.note];
            claims.row(texts.into_iter().chain([&*row.source, &as_of]).map(Cell::text));
        }
        let mut disputes = Table::new(
            "disputes",
            "Where sources disagree",
            &[
                ("what", "what"),
                ("low", "lowest"),
                ("high", "highest"),
                ("unit", "unit"),
                ("opinions", "who says what"),
            ],
        );
        for row in &self.disputes {
            let opinions: Vec<String> = row.opinions.iter().map(ToString::to_string).collect();
            disputes.row([
                Cell::text(&row.what),
                Cell::Number(row.low(), row.low().scale()),
                Cell::Number(row.high(), row.high().scale()),
                Cell::text(row.unit),
                Cell::text(opinions.join(", ")),
            ]);
        }
        vec![claims, disputes]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let verdicts = [Verdict::Holds, Verdict::HoldsInPart, Verdict::DoesNotHold, Verdict::CannotBeChecked]
            .map(|verdict| {
                let count = self.doubts.iter().filter(|doubt| doubt.verdict == verdict).count();
                format!("{count} {}", verdict.words())
            });
        vec![
            format!("Of {} claims: {}.", self.doubts.len(), verdicts.join(", ")),
            "A claim holds when the sum lies within it, to a twentieth; in part when they only overlap."
                .to_owned(),
            format!("Rows of your own (source `{YOU}`) in prices.toml change the sums."),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Overlay;
    use proptest::prelude::*;
    use rust_decimal::{Decimal, dec};

    fn lines(catalogue: &Catalogue) -> Vec<String> {
        let line = |doubt: &Doubt| {
            format!(
                "{} ({}): {}: {}; {}",
                doubt.claim,
                doubt.figure,
                doubt.verdict.words(),
                doubt.arithmetic,
                doubt.why
            )
        };
        doubts(catalogue, None).unwrap().doubts.iter().map(line).collect()
    }

    #[test]
    fn every_claim_of_the_catalogue_stands_beside_its_sum() {
        insta::assert_snapshot!(lines(&Catalogue::embedded().unwrap()).join("\n"), @r"
DePIN market capitalization (9-10 billion usd): cannot be checked: Bittensor alone: 10.76 million tokens × 215 $ = 2.31 billion $, 23-26 % of it; the catalogue has no supply and price of the other networks
DePIN on-chain revenue (150 million usd a month): cannot be checked: as RTX 4090 at the median of 0.17 $/h: 1.23 million cards rented day and night; the catalogue has no revenue of a network; `econ network` computes one
DePIN GPU price against hyperscalers (4 times cheaper): holds in part: A100: 3.00-4.50 ÷ 0.50-1.20 $/h = 2.5-9.0 times by its own source; 3.00-4.50 ÷ 0.50-3.33 = 0.9-9.0 by all sources; it lies inside a range so wide that any factor in it could be claimed; one source has a network above a cloud
Akash against centralized providers (50-80 percent cheaper): holds in part: A100: 1 − 0.50-0.90 ÷ 2.70-4.50 $/h = 67-89 % cheaper; on demand at clouds against reverse auction, available 99%-99.9%
RTX 4090 realistic monthly host earning (30-60 usd): holds: 0.17 $/h after 15 % fee, 30-60 % of 720 h: 31.21-62.42 $; less 15.55-31.10 $ of power at 0.16 $/kWh: 15.66-31.32 $; before power; 50 % of it stays after power
RTX 4090 gross range for host earnings (0.13-0.20 usd per hour): holds in part: listed at 0.13-0.40 $/h, median 0.17; the median lies inside, the listing's high outside
Bittensor total staked (7.35 billion token): does not hold: 7350000000 tokens staked, 21000000 can ever exist: 350 times as many; more than exists; read as million it is 68 % of what circulates
Bittensor circulating supply (10.76 million token): holds: 0.5 token a block is paid while 10.50-15.75 million of 21 exist; the 9.6 million that was noted beside it does not fit
CoreWeave against AWS for an A100 (0.5 ratio): does not hold: 2.70 ÷ 4.10 $/h = 0.66; A100-SXM-80 against A100-SXM-40
Build of 2000 dollars pays off (3 years): holds in part: Render 0.98 $/day net, 5.6 years; Akash 2.10 $/day net, 2.6 years; io.net 3.75 $/day net, 1.5 years; it depends on which network rents the card
Bittensor registration (0.1-10 token): cannot be checked: 21.50-2150.00 $; an average slot earns 0.0447 token (9.61 $) a day, so 2.2-223.7 days of one; the catalogue has no record of what subnets ask; rewards are far from even
Bittensor stake to compete (100 token): cannot be checked: 21500.00 $; an average slot earns 0.0447 token (9.61 $) a day, so 2237.4 days of one; the catalogue has no record of what subnets ask; rewards are far from even
Bittensor miner GPU cost in the cloud (50-200 usd a day): holds in part: one accelerator on demand: 2.70-12.29 $/h × 24 h = 65-295 $/day; the claim is 2.08-8.33 $/h: its low end is below any on-demand price, and it leaves out the dearest
Bittensor miner GPU cost own hardware (5-15 usd a day): does not hold: power day and night and purchase of one machine: 1.96-4.01 $/day; the claim is 1.2-3.7 of the dearest machine in the catalogue
Cloud 8xH100 for a top subnet (400-800 usd a day): does not hold: 8 × 6.16-12.29 $/h × 24 h = 1183-2360 $/day on demand; the cheapest reserved, at the 40-60 % off that is claimed elsewhere, would be 473-710 $/day
Worth my time MacBook Air M3 (500 sats per hour): cannot be checked: 0.35 $/h, 4.0 times power and purchase (0.087 $/h); a wish, and no market of the catalogue lists this machine
Worth my time Mac Mini M4 Pro (300 sats per hour): cannot be checked: 0.21 $/h, 3.1 times power and purchase (0.067 $/h); a wish, and no market of the catalogue lists this machine
Worth my time Mac Studio M2 Ultra (1000 sats per hour): cannot be checked: 0.70 $/h, 1.8 times power and purchase (0.395 $/h); a wish, and no market of the catalogue lists this machine
Worth my time RTX 4090 system (1000 sats per hour): cannot be checked: 0.70 $/h, 2.7 times power and purchase (0.262 $/h); 4.1 times the market's 0.17 $/h; a wish; the market pays less
GPU and Mac resale value (40-70 percent): cannot be checked: an RTX 4090 system of 2500 $ then loses 0.68-1.37 $/day over 3 years, and 2.28 without resale; the catalogue has no resale prices, and not the age at which it is sold
RTX 4090 against Apple Silicon training throughput (3-5 times faster): cannot be checked: the same work in the benchmarks: 1.7-33.6 times as fast; planned power: 5.0-22.5 times; the benchmarks are of inference and rendering, not of training; they spread wider than the claim
Swarm of 100 Mac Minis at 200 sats per hour (14 usd per hour): holds: 100 × 200 sats = 14.00 $/h, the price of 5.2 A100 at 2.70 $/h; the pay is right; that the swarm matches one A100 is unproven, and it would have to match 5.2
Reserved discount (40-60 percent): holds: machines at both terms: 1; 39.0 % off; less than the least that is claimed
Migration of ten-plus cards (3000-5000 usd): cannot be checked: ten cards of 600 W save 7.20-10.08 $/day between 0.13 and 0.06-0.08 $/kWh: paid back in 298-694 days; nothing in the catalogue says what moving costs; the sum says when it pays
");
    }

    #[test]
    fn a_persons_figures_change_a_verdict() {
        let mut catalogue = Catalogue::embedded().unwrap();
        let verdict = |catalogue: &Catalogue| {
            let doubts = doubts(catalogue, None).unwrap().doubts;
            doubts.into_iter().find(|doubt| doubt.claim.starts_with("CoreWeave")).unwrap().verdict
        };
        assert_eq!(verdict(&catalogue), Verdict::DoesNotHold);
        for row in catalogue.cloud_prices.iter_mut().filter(|row| row.provider == "CoreWeave") {
            (row.gpu_usd_per_hour.0, row.node_usd_per_hour) = (dec!(2.05), None);
        }
        assert_eq!(verdict(&catalogue), Verdict::Holds);
    }

    #[test]
    fn a_claim_without_a_sum_or_without_figures_is_left_undecided() {
        let today = jiff::civil::date(2026, 11, 20);
        let mut catalogue = Catalogue::embedded().unwrap();
        let text = "claim,figure,unit,as_of\nThe moon pays,50,usd,2026-11\nSwarm of no Macs,soon,usd per hour,2026-11";
        catalogue.overlay(&Overlay::from_csv("claims", text, today).unwrap());
        catalogue.rentals.clear();
        let lines = lines(&catalogue);
        let of = |start: &str| lines.iter().find(|line| line.starts_with(start)).unwrap().clone();
        let found = ["The moon", "Swarm of no", "Build of"].map(of);
        insta::assert_snapshot!(found.join("\n"), @r"
The moon pays (50 usd): cannot be checked: ; no sum for such a claim is known here
Swarm of no Macs (soon usd per hour): cannot be checked: ; the claim's figure `soon` is no number and no range such as 30-60
Build of 2000 dollars pays off (3 years): cannot be checked: ; the catalogue has no network on which renting out earned more than its power
");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_figures_make_it_panic(price in 0u64..1_000_000_000, scale in 0u32..20, value in 0u64..1_000_000_000_000_000, rate in 1u64..1_000_000_000) {
            let mut catalogue = Catalogue::embedded().unwrap();
            let price = Decimal::from_i128_with_scale(price.into(), scale);
            for row in &mut catalogue.cloud_prices {
                row.gpu_usd_per_hour.0 = price;
            }
            for row in &mut catalogue.market_prices {
                (row.usd_low.0, row.usd_median, row.usd_high) = (price, None, None);
            }
            for row in &mut catalogue.networks {
                row.value = Decimal::from(value);
            }
            for row in &mut catalogue.hardware {
                (row.price_usd.0, row.train_watts) = (price, Decimal::new(1, 20));
            }
            let btc = BtcRate { usd_per_btc: rate.into(), ..catalogue.btc_rate().unwrap() };
            let _ = doubts(&catalogue, Some(&btc));
        }
    }
}
