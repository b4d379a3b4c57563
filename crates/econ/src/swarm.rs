//! What a swarm of small machines costs whoever trains with it, beside renting large accelerators.
//!
//! With `N` peers at a pay of `P` dollars an hour, an accelerator of `A` dollars an hour does the same for the same money when
//! a peer does the share `q = P ÷ A` of its work: the swarm wins above that quality. What a peer does is its throughput × the
//! share of its gradients that are accepted.

use crate::{
    answer::{Answer, Cell, Figures, Table},
    breakeven::{self, Machine},
    catalogue::{Catalogue, Row, is_gpu, unknown},
    compare,
    cost::Hourly,
    money::{BtcRate, Usd},
    question::{self, QuestionError, Tariff},
};
use rust_decimal::{Decimal, dec};
use serde::Serialize;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// How many peers, from 1 to 10,000,000.
    pub peers: u32,
    /// What each gets for an hour.
    pub sats_per_hour: Decimal,
    /// What a peer is: a machine of the catalogue.
    pub hardware: String,
    /// What peers pay for electricity: tells whether the pay keeps them.
    pub tariff: Tariff,
    /// Gradients that a peer sends in an hour, from 0.
    pub gradients_per_hour: Option<Decimal>,
    /// The share of them that is accepted, from 0.001 to 1; without it all are.
    pub acceptance: Option<Decimal>,
    /// How fast a peer is beside accelerators among the rivals. Nobody states it: it has to be measured.
    pub speeds: Vec<Speed>,
    /// What to compare with.
    pub rivals: Vec<String>,
    /// What a bitcoin costs, instead of the catalogue's assumption.
    pub bitcoin: Option<BtcRate>,
}

impl Question {
    /// So many Mac Minis at this pay, beside an A100 and an H100.
    pub fn new(peers: u32, sats_per_hour: Decimal) -> Question {
        Question {
            peers,
            sats_per_hour,
            hardware: "mac-mini-m4-pro".to_owned(),
            tariff: Tariff::default(),
            gradients_per_hour: None,
            acceptance: None,
            speeds: Vec::new(),
            rivals: vec!["A100".to_owned(), "H100".to_owned()],
            bitcoin: None,
        }
    }
}

/// How fast a peer is beside an accelerator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speed {
    /// The accelerator; `A100` means every A100.
    pub gpu: String,
    /// The share of its throughput that a peer has, from 0.000001 to 1000.
    pub share: Decimal,
}

/// What a peer's throughput may be, as a share of an accelerator's.
const SPEED: question::Quantity = question::Quantity {
    name: "the speed of a peer",
    unit: " (a fraction of the accelerator's: 0.02 is a fiftieth)",
    least: dec!(0.000001),
    most: dec!(1000),
};

/// The share of gradients that is accepted; not none, or there is nothing to pay for.
const ACCEPTANCE: question::Quantity = question::Quantity {
    name: "the share of accepted gradients",
    unit: " (a fraction: 0.8 is 80 %)",
    least: dec!(0.001),
    most: dec!(1),
};

/// How many times as fast one machine is as another.
const TIMES: question::Quantity = question::Quantity {
    name: "how many times as fast",
    unit: "",
    least: dec!(0.001),
    most: dec!(1_000_000),
};

/// What the swarm costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Swarm {
    /// How many peers.
    pub peers: u32,
    /// What a peer is.
    pub peer: Machine,
    /// What a peer gets.
    pub peer_pay: Hourly,
    /// What all of them get.
    pub pay: Hourly,
    /// The share of gradients that is accepted.
    pub acceptance: Decimal,
    /// What accepted gradients cost, where it was given how many are sent.
    pub gradients: Option<Gradients>,
    /// What else the money rents.
    pub rivals: Vec<Rival>,
    /// Cards that do the same work by what a source claims, where it does.
    pub cards: Vec<Cards>,
    /// What a bitcoin costs.
    pub bitcoin: BtcRate,
    /// What all this stands on.
    pub figures: Figures,
}

/// Gradients that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gradients {
    /// How many in an hour.
    pub accepted_per_hour: Decimal,
    /// What each costs; absent where none is.
    pub usd_each: Option<Usd>,
    /// The same in satoshi.
    pub sats_each: Option<Decimal>,
}

/// An accelerator to rent instead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rival {
    /// The accelerator.
    pub gpu: String,
    /// Where.
    pub provider: String,
    /// How.
    pub terms: String,
    /// What an hour costs, low and high.
    pub usd_per_hour: (Usd, Usd),
    /// How many the swarm's money rents, at the low and at the high price; absent where it is free.
    pub rented: Option<(Decimal, Decimal)>,
    /// The share of its work that a peer has to do for the swarm to win, at the low and at the high price.
    pub needed: Option<(Decimal, Decimal)>,
    /// The share that it does, where its speed was given.
    pub done: Option<Decimal>,
    /// Who is cheaper, where the speed was given.
    pub verdict: Option<Verdict>,
}

/// Who is cheaper for the same work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The swarm, at every price of the range.
    Swarm,
    /// The accelerator, at every price of the range.
    Rented,
    /// It depends on the price.
    Either,
}

/// Cards that do the work of the swarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cards {
    /// Where they are rented.
    pub market: String,
    /// How many do the same work, low and high.
    pub count: (Decimal, Decimal),
    /// What they cost in an hour, low and high.
    pub usd_per_hour: (Usd, Usd),
}

/// Answers `question` from `catalogue`.
pub fn ask(question: &Question, catalogue: &Catalogue) -> Result<Swarm, QuestionError> {
    let peers = question::COUNT.check_in(question.peers.into(), "the number of peers")?;
    let mut figures = Figures::default();
    let sats = question::SATS_PER_HOUR.check(question.sats_per_hour)?;
    figures.given("pay of a peer", format!("{sats} sats/h"));
    let costs = breakeven::Question {
        hardware: vec![question.hardware.clone()],
        tariff: question.tariff.clone(),
        bitcoin: question.bitcoin.clone(),
        ..breakeven::Question::default()
    };
    let breakeven::BreakEven { machines, bitcoin, figures: of_peer, .. } = breakeven::ask(&costs, catalogue)?;
    figures.extend(&of_peer);
    let Some(peer) = machines.into_iter().next() else {
        return Err(QuestionError::Missing { missing: "a machine", because: "to be a peer" });
    };
    let acceptance = question::given(ACCEPTANCE, question.acceptance, &mut figures)?;
    let acceptance = acceptance.unwrap_or(Decimal::ONE);
    let peer_pay = Hourly::new(bitcoin.usd(sats), &bitcoin);
    let pay = Hourly::new(bitcoin.usd(sats) * peers, &bitcoin);
    let gradients = question.gradients_per_hour.map(|each| {
        question::TOKENS.check_in(each, "the number of gradients")?;
        figures.given("gradients of a peer", format!("{each} an hour"));
        let accepted_per_hour = each * acceptance * peers;
        let usd_each = pay.usd_per_hour.per(accepted_per_hour);
        let sats_each = (sats * peers).checked_div(accepted_per_hour);
        Ok::<_, QuestionError>(Gradients { accepted_per_hour, usd_each, sats_each })
    });
    let gradients = gradients.transpose()?;
    let rivals = rivals(question, peer_pay.usd_per_hour, acceptance, catalogue, &mut figures)?;
    let cards = cards(question, &peer, catalogue, &mut figures)?;
    Ok(Swarm {
        peers: question.peers,
        peer,
        peer_pay,
        pay,
        acceptance,
        gradients,
        rivals,
        cards,
        bitcoin,
        figures,
    })
}

fn rivals(
    question: &Question,
    peer_usd_per_hour: Usd,
    acceptance: Decimal,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Vec<Rival>, QuestionError> {
    for speed in &question.speeds {
        SPEED.check(speed.share)?;
        figures.given(format!("speed of a peer beside {}", speed.gpu), speed.share);
    }
    let mut rivals = Vec::new();
    for gpu in &question.rivals {
        let asked = compare::Question {
            bitcoin: question.bitcoin.clone(),
            ..compare::Question::new(gpu, 1, Decimal::ONE)
        };
        let compared = compare::ask(&asked, catalogue)?;
        figures.extend(&compared.figures);
        let rival = |offer| rival(offer, question, peer_usd_per_hour, acceptance);
        let mut priced: Vec<Rival> = compared.offers.into_iter().map(rival).collect();
        priced.sort_by_key(|rival| rival.usd_per_hour);
        rivals.extend(priced);
    }
    for Speed { gpu, .. } in &question.speeds {
        if !rivals.iter().any(|rival| is_gpu(&rival.gpu, gpu)) {
            let known = rivals.iter().map(|rival| rival.gpu.clone());
            return Err(unknown("accelerator among the rivals", gpu, known).into());
        }
    }
    Ok(rivals)
}

fn rival(offer: compare::Offer, question: &Question, peer_usd_per_hour: Usd, acceptance: Decimal) -> Rival {
    let (low, high) = offer.gpu_usd_per_hour;
    let needed = peer_usd_per_hour.ratio(low).zip(peer_usd_per_hour.ratio(high));
    let peers = Decimal::from(question.peers);
    let speed = question.speeds.iter().find(|speed| is_gpu(&offer.gpu, &speed.gpu));
    let done = speed.map(|speed| speed.share * acceptance);
    Rival {
        gpu: offer.gpu,
        provider: offer.provider,
        terms: offer.terms_words,
        usd_per_hour: (low, high),
        rented: needed.and_then(|(low, high)| low.checked_mul(peers).zip(high.checked_mul(peers))),
        needed,
        done,
        verdict: needed.zip(done).map(|((low, high), done)| Verdict::of(low, high, done)),
    }
}

impl Verdict {
    /// A low price needs much of a peer, a high price less.
    fn of(needed_at_low: Decimal, needed_at_high: Decimal, done: Decimal) -> Verdict {
        if done > needed_at_low {
            Verdict::Swarm
        } else if done < needed_at_high {
            Verdict::Rented
        } else {
            Verdict::Either
        }
    }
}

/// RTX 4090 cards in place of Apple machines, by the claim about their throughput.
fn cards(
    question: &Question,
    peer: &Machine,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Vec<Cards>, QuestionError> {
    let is_apple = catalogue.hardware.iter().any(|row| row.id == peer.id && row.kind == "apple");
    if !is_apple {
        return Ok(Vec::new());
    }
    let claim = "RTX 4090 against Apple Silicon training throughput";
    let (slow, fast) = question::claimed_range(claim, catalogue, figures)?;
    let fewest = Decimal::from(question.peers) / TIMES.check(fast)?;
    let most = Decimal::from(question.peers) / TIMES.check(slow)?;
    let mut cards = Vec::new();
    for row in catalogue.market_prices_of("RTX-4090") {
        figures.cite(row.key(), row.range_text(), &row.provenance());
        let high = row.usd_high.unwrap_or(row.usd_low);
        let check = |usd: Usd| question::USD_PER_HOUR.check_in(usd.0, format!("the price of {}", row.key()));
        let usd_per_hour = (Usd(check(row.usd_low)? * fewest), Usd(check(high)? * most));
        let count = (fewest, most);
        cards.push(Cards { market: row.network.clone(), count, usd_per_hour });
    }
    Ok(cards)
}

impl Answer for Swarm {
    fn title(&self) -> String {
        let sats = self.peer_pay.sats_per_hour.map_or_else(String::new, |sats| format!(" at {sats} sats/h"));
        format!("A swarm of {} × {}{sats}", self.peers, self.peer.name)
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = vec![self.pay_table(), self.rivals_table()];
        if !self.cards.is_empty() {
            tables.push(self.cards_table());
        }
        tables
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "A peer has to do the share pay of a peer ÷ price of the accelerator of its work for the swarm to win. What it does is its speed × the share of its gradients that are accepted; what the network between peers costs is part of the speed.".to_owned(),
            "That a swarm of 100 Mac Minis matches an A100 is claimed and not proven; each would do a hundredth of its work.".to_owned(),
            "Prices are those of one accelerator, also where only whole machines are rented.".to_owned(),
        ];
        if self.rivals.iter().all(|rival| rival.done.is_none()) {
            notes.push("How fast a peer is beside these accelerators nobody states: measure it and give it, then the answer says who wins.".to_owned());
        }
        if !self.cards.is_empty() {
            notes.push("The cards do the same work by the claim that an RTX 4090 trains several times as fast as Apple machines; their prices are what buyers pay.".to_owned());
        }
        let keeps =
            |cost: Option<Hourly>| cost.is_some_and(|cost| self.peer_pay.usd_per_hour >= cost.usd_per_hour);
        notes.push(match (keeps(Some(self.peer.owned)), keeps(self.peer.full)) {
            (false, _) => "The pay is less than the electricity of a peer.".to_owned(),
            (true, false) => "The pay covers the electricity of a peer, not its price.".to_owned(),
            (true, true) => "The pay covers the electricity and the price of a peer.".to_owned(),
        });
        notes
    }
}

impl Swarm {
    fn pay_table(&self) -> Table {
        let mut table = Table::new(
            "pay",
            "What the coordinator pays",
            &[("what", "what"), ("usd", "$"), ("sats", "sats")],
        );
        let rows = [
            ("an hour of a peer", self.peer_pay.usd_per_hour, self.peer_pay.sats_per_hour),
            ("an hour", self.pay.usd_per_hour, self.pay.sats_per_hour),
            ("a day", self.pay.usd_per_day, self.pay.sats_per_day),
            ("a month", self.pay.usd_per_month, self.pay.sats_per_month),
        ];
        for (what, usd, sats) in rows {
            table.row([Cell::text(what), Cell::Usd(usd, 2), Cell::sats(sats)]);
        }
        let each = self.gradients.and_then(|gradients| gradients.usd_each.zip(gradients.sats_each));
        let [usd, sats] = match (self.gradients, each) {
            (None, _) => [Cell::text("not known: give gradients an hour"), Cell::Missing],
            (Some(_), None) => [Cell::text("none is accepted"), Cell::Missing],
            (Some(_), Some((usd, sats))) => [Cell::Usd(usd, 6), Cell::Number(sats, 2)],
        };
        table.row([Cell::text("an accepted gradient"), usd, sats]);
        table
    }

    fn rivals_table(&self) -> Table {
        let mut table = Table::new(
            "rivals",
            "What else the money rents, and what a peer has to do",
            &[
                ("gpu", "accelerator"),
                ("provider", "where"),
                ("terms", "terms"),
                ("usd_per_hour_low", "$/h"),
                ("usd_per_hour_high", "to"),
                ("rented_at_low", "the money rents"),
                ("rented_at_high", "to"),
                ("needed_at_low", "a peer must do"),
                ("needed_at_high", "to"),
                ("done", "it does"),
                ("cheaper", "cheaper"),
            ],
        );
        for rival in &self.rivals {
            let (low, high) = rival.usd_per_hour;
            let second =
                |cell: Option<Cell>| if low == high { Cell::Missing } else { cell.unwrap_or(Cell::Missing) };
            let number = |number: Decimal| Cell::Number(number, 2);
            let percent = |share: Decimal| Cell::Percent(share, 2);
            let cheaper = match rival.verdict {
                Some(Verdict::Swarm) => "the swarm",
                Some(Verdict::Rented) => "the accelerator",
                Some(Verdict::Either) => "depends on the price",
                None => "not known",
            };
            table.row([
                Cell::text(&rival.gpu),
                Cell::text(&rival.provider),
                Cell::text(&rival.terms),
                Cell::Usd(low, 2),
                second(Some(Cell::Usd(high, 2))),
                rival.rented.map_or(Cell::Missing, |rented| number(rented.0)),
                second(rival.rented.map(|rented| number(rented.1))),
                rival.needed.map_or(Cell::Missing, |needed| percent(needed.0)),
                second(rival.needed.map(|needed| percent(needed.1))),
                rival.done.map_or(Cell::Missing, percent),
                Cell::text(cheaper),
            ]);
        }
        table
    }

    fn cards_table(&self) -> Table {
        let mut table = Table::new(
            "cards",
            "RTX 4090 cards that do the same work",
            &[
                ("market", "where"),
                ("cards_low", "cards"),
                ("cards_high", "to"),
                ("usd_per_hour_low", "$/h"),
                ("usd_per_hour_high", "to"),
                ("swarm_ratio_low", "swarm costs ×"),
                ("swarm_ratio_high", "to"),
            ],
        );
        let times = |usd: Usd| {
            let ratio = self.pay.usd_per_hour.ratio(usd);
            ratio.map_or(Cell::Missing, |ratio| Cell::Number(ratio, 2))
        };
        for cards in &self.cards {
            table.row([
                Cell::text(&cards.market),
                Cell::Number(cards.count.0, 1),
                Cell::Number(cards.count.1, 1),
                Cell::Usd(cards.usd_per_hour.0, 2),
                Cell::Usd(cards.usd_per_hour.1, 2),
                times(cards.usd_per_hour.1),
                times(cards.usd_per_hour.0),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{drawn::drawn, wild};
    use proptest::{array, prelude::*};

    fn ask_embedded(question: &Question) -> Result<Swarm, QuestionError> {
        ask(question, &wild::EMBEDDED)
    }

    #[test]
    fn a_hundred_small_machines_stand_beside_large_accelerators() {
        let question = Question {
            gradients_per_hour: Some(dec!(60)),
            acceptance: Some(dec!(0.8)),
            speeds: vec![Speed { gpu: "A100".to_owned(), share: dec!(0.05) }],
            ..Question::new(100, dec!(200))
        };
        insta::assert_snapshot!(drawn(&ask_embedded(&question).unwrap()), @r"
        A swarm of 100 × Mac Mini M4 Pro at 200 sats/h

        [pay] What the coordinator pays
        what                 | $         | sats
        an hour of a peer    | $0.14     | 200
        an hour              | $14.00    | 20000
        a day                | $336.00   | 480000
        a month              | $10080.00 | 14400000
        an accepted gradient | $0.002917 | 4.17

        [rivals] What else the money rents, and what a peer has to do
        accelerator | where      | terms                      | $/h    | to    | the money rents | to    | a peer must do | to      | it does | cheaper
        A100        | Akash      | reverse auction            | $0.50  | $0.90 | 28.00           | 15.56 | 28.00 %        | 15.56 % | 4.00 %  | the accelerator
        A100        | io.net     | consumer and prosumer GPUs | $0.60  | $1.00 | 23.33           | 14.00 | 23.33 %        | 14.00 % | 4.00 %  | the accelerator
        A100        | Render     | distributed nodes          | $0.80  | $1.20 | 17.50           | 11.67 | 17.50 %        | 11.67 % | 4.00 %  | the accelerator
        A100        | AWS        | spot                       | $1.50  |       | 9.33            |       | 9.33 %         |         | 4.00 %  | the accelerator
        A100-SXM-40 | AWS        | reserved-1y                | $2.50  |       | 5.60            |       | 5.60 %         |         | 4.00 %  | the accelerator
        A100-SXM-80 | CoreWeave  | on-demand                  | $2.70  |       | 5.19            |       | 5.19 %         |         | 4.00 %  | the accelerator
        A100        | AWS or GCP | centralized                | $3.00  | $4.50 | 4.67            | 3.11  | 4.67 %         | 3.11 %  | 4.00 %  | depends on the price
        A100        | io.net     | on-demand                  | $3.33  |       | 4.20            |       | 4.20 %         |         | 4.00 %  | the accelerator
        A100-80     | GCP        | on-demand                  | $3.67  |       | 3.81            |       | 3.81 %         |         | 4.00 %  | the swarm
        A100-SXM-40 | AWS        | on-demand                  | $4.10  |       | 3.41            |       | 3.41 %         |         | 4.00 %  | the swarm
        H100-SXM-80 | CoreWeave  | on-demand                  | $6.16  |       | 2.27            |       | 2.27 %         |         |         | not known
        H100-SXM-80 | AWS        | on-demand                  | $12.29 |       | 1.14            |       | 1.14 %         |         |         | not known

        [cards] RTX 4090 cards that do the same work
        where            | cards | to   | $/h   | to     | swarm costs × | to
        Vast.ai          | 20.0  | 33.3 | $2.60 | $13.33 | 1.05          | 5.38
        RunPod Community | 20.0  | 33.3 | $6.80 | $14.67 | 0.95          | 2.06

        * A peer has to do the share pay of a peer ÷ price of the accelerator of its work for the swarm to win. What it does is its speed × the share of its gradients that are accepted; what the network between peers costs is part of the speed.
        * That a swarm of 100 Mac Minis matches an A100 is claimed and not proven; each would do a hundredth of its work.
        * Prices are those of one accelerator, also where only whole machines are rented.
        * The cards do the same work by the claim that an RTX 4090 trains several times as fast as Apple machines; their prices are what buyers pay.
        * The pay covers the electricity and the price of a peer.
        ");
    }

    #[test]
    fn the_claimed_swarm_costs_what_is_claimed() {
        let swarm = ask_embedded(&Question::new(100, dec!(200))).unwrap();
        assert_eq!(swarm.pay.usd_per_hour, Usd(dec!(14)));
        let coreweave = swarm.rivals.iter().find(|rival| rival.provider == "CoreWeave").unwrap();
        assert_eq!(coreweave.rented.unwrap().0.round_dp(2), dec!(5.19));
        assert_eq!((coreweave.done, coreweave.verdict), (None, None));
        assert_eq!(swarm.gradients, None);
    }

    #[test]
    fn at_the_quality_that_is_needed_nobody_is_cheaper() {
        assert_eq!(Verdict::of(dec!(0.2), dec!(0.1), dec!(0.21)), Verdict::Swarm);
        assert_eq!(Verdict::of(dec!(0.2), dec!(0.1), dec!(0.09)), Verdict::Rented);
        assert_eq!(Verdict::of(dec!(0.2), dec!(0.2), dec!(0.2)), Verdict::Either);
    }

    #[test]
    fn a_swarm_of_cards_is_not_compared_with_cards() {
        let question = Question { hardware: "rtx4090-system".to_owned(), ..Question::new(10, dec!(300)) };
        assert_eq!(ask_embedded(&question).unwrap().cards, []);
    }

    #[test]
    fn bad_inputs_are_answered_with_what_is_accepted() {
        let questions = [
            Question::new(0, dec!(200)),
            Question::new(100, dec!(-1)),
            Question { hardware: "mac-mini".to_owned(), ..Question::new(1, dec!(1)) },
            Question { acceptance: Some(dec!(0)), ..Question::new(1, dec!(1)) },
            Question { rivals: vec!["H1000".to_owned()], ..Question::new(1, dec!(1)) },
            Question { gradients_per_hour: Some(dec!(-1)), ..Question::new(1, dec!(1)) },
            Question {
                speeds: vec![Speed { gpu: "A100".to_owned(), share: dec!(0) }],
                ..Question::new(1, dec!(1))
            },
            Question {
                speeds: vec![Speed { gpu: "Z".to_owned(), share: dec!(0.01) }],
                ..Question::new(1, dec!(1))
            },
            Question {
                speeds: vec![Speed { gpu: "H100-PCIe".to_owned(), share: dec!(0.01) }],
                ..Question::new(1, dec!(1))
            },
        ];
        let texts = questions.map(|question| ask_embedded(&question).unwrap_err().to_string());
        insta::assert_snapshot!(texts.join("\n"), @r"
        the number of peers is 0; it has to be from 1 to 10000000
        the pay is -1; it has to be from 0 to 1000000000000 sats/h
        the catalogue has no hardware `mac-mini`; did you mean `mac-mini-m4-pro`?
        the share of accepted gradients is 0; it has to be from 0.001 to 1 (a fraction: 0.8 is 80 %)
        the catalogue has no price of the accelerator `H1000`; did you mean `H100-SXM-80`?
        the number of gradients is -1; it has to be from 0 to 1000000000
        the speed of a peer is 0; it has to be from 0.000001 to 1000 (a fraction of the accelerator's: 0.02 is a fiftieth)
        the catalogue has no accelerator among the rivals `Z`; it has: A100, A100-SXM-40, A100-SXM-80, A100-80, H100-SXM-80
        the catalogue has no accelerator among the rivals `H100-PCIe`; it has: A100, A100-SXM-40, A100-SXM-80, A100-80, H100-SXM-80
        ");
    }

    proptest! {
        #[test]
        fn twice_the_peers_cost_twice_as_much_and_need_the_same_quality(peers in 1_u32..10_000, sats in 1_u32..10_000) {
            let once = ask_embedded(&Question::new(peers, sats.into())).unwrap();
            let twice = ask_embedded(&Question::new(2 * peers, sats.into())).unwrap();
            prop_assert_eq!(once.pay.usd_per_hour * Decimal::TWO, twice.pay.usd_per_hour);
            for (once, twice) in once.rivals.iter().zip(&twice.rivals) {
                prop_assert_eq!(once.needed, twice.needed);
            }
        }

        #[test]
        fn no_number_makes_it_panic(numbers in array::uniform4(wild::number()), peers: u32) {
            let [sats, gradients, acceptance, share] = numbers;
            let question = Question {
                gradients_per_hour: Some(gradients),
                acceptance: Some(acceptance),
                speeds: vec![Speed { gpu: "A100".to_owned(), share }],
                ..Question::new(peers, sats)
            };
            if let Ok(answer) = ask_embedded(&question) {
                prop_assert!(!drawn(&answer).is_empty());
            }
        }
    }
}
