//! The mechanism lab: the rules by which networks pay, run instead of described.
//!
//! Every network is a rule from what an epoch brings to who is paid, what is burned and what is minted. Each rule has a
//! module that states its formulas and their sources, and a [`Mechanism`] on it. [`scenario`] runs the same demand,
//! supply and prices through all of them.
//!
//! | module | the rule | who pays so |
//! |---|---|---|
//! | [`emission`] | a posted schedule mints, with halvings | Bittensor, Bitcoin, io.net |
//! | [`yuma`] | stake votes on who worked well | Bittensor's subnets |
//! | [`bittensor`] | emission split 41/41/18, the miners' part by Yuma | a Bittensor subnet |
//! | [`burn_mint::render`] | spending is burned, a schedule pays nodes | Render |
//! | [`burn_mint::akash`] | spending is burned and minted again at settlement | Akash |
//! | [`staked_fees`] | buyers pay; staked devices share an emission besides | io.net |
//! | [`verified_work`] | buyers pay for checked work; there is no token | Gristmill |
//!
//! The rules of Bittensor, Akash and Render conform to public vectors: `tests/vectors/`. What the comparison leaves out
//! is listed by [`scenario::omissions`] and in `docs/mechanisms.md`.

use serde::Serialize;

pub mod bittensor;
pub mod burn_mint;
pub mod emission;
pub mod scenario;
pub mod staked_fees;
pub mod verified_work;
pub mod yuma;

/// What an epoch brings, the same to every mechanism but for the supply, which each has attracted for itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochInputs {
    /// Days since the scenario began.
    pub day: f64,
    /// Days that the epoch lasts.
    pub days: f64,
    /// The price of every token against its price at the beginning: 0.5 after a fall by half.
    pub token_index: f64,
    /// What buyers want to spend on computing, in USD.
    pub demand_usd: f64,
    /// What a GPU hour costs them, in USD.
    pub price_usd_per_gpu_hour: f64,
    /// GPUs that are online and work when asked.
    pub honest_gpus: f64,
    /// GPUs that are registered and look online, but do no work.
    pub pretending_gpus: f64,
}

impl EpochInputs {
    /// Hours that honest GPUs have to offer.
    pub fn honest_hours(&self) -> f64 {
        self.honest_gpus * 24.0 * self.days
    }

    /// Hours that GPUs pretend to offer.
    pub fn pretending_hours(&self) -> f64 {
        self.pretending_gpus * 24.0 * self.days
    }

    /// How many pretended hours there are for each honest one; none without honest ones.
    pub fn pretence(&self) -> f64 {
        if self.honest_gpus > 0.0 { self.pretending_gpus / self.honest_gpus } else { 0.0 }
    }
}

/// Tokens and what they were worth when they came or went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tokens {
    /// How many.
    pub tokens: f64,
    /// Worth, in USD.
    pub usd: f64,
}

impl Tokens {
    /// `tokens` at a price.
    pub fn at(tokens: f64, price_usd: f64) -> Self {
        Self { tokens, usd: tokens * price_usd }
    }

    /// `usd` worth at a price.
    pub fn worth(usd: f64, price_usd: f64) -> Self {
        Self { tokens: usd / price_usd, usd }
    }
}

/// What an epoch came to. Every dollar that comes in goes somewhere: see [`EpochOutcome::gap_usd`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EpochOutcome {
    /// GPU hours that served demand, as far as buyers could tell rightly.
    pub served_hours: f64,
    /// In: what buyers paid, in USD.
    pub revenue_usd: f64,
    /// In: tokens that did not exist before.
    pub minted: Tokens,
    /// In: tokens burned earlier that were issued again.
    pub reissued: Tokens,
    /// In: bonds that cheats lost, in USD.
    pub slashed_usd: f64,
    /// Out: to honest providers for hours that served demand, in USD.
    pub paid_served_usd: f64,
    /// Out: to honest providers for checking others' work, in USD.
    pub paid_checking_usd: f64,
    /// Out: to honest providers for being there idle, in USD.
    pub paid_idle_usd: f64,
    /// Out: to those who only pretend, in USD.
    pub paid_pretending_usd: f64,
    /// Out: to validators and stakers, in USD.
    pub validators_usd: f64,
    /// Out: to owners, foundations, grants and operators, in USD.
    pub treasury_usd: f64,
    /// Out: given back to buyers, in USD.
    pub refunds_usd: f64,
    /// Out: tokens that ceased to exist, worth what was paid for them.
    pub burned: Tokens,
}

impl EpochOutcome {
    /// What honest providers got, in USD.
    pub fn honest_usd(&self) -> f64 {
        self.paid_served_usd + self.paid_checking_usd + self.paid_idle_usd
    }

    /// What all who provide, or pretend to, got, in USD.
    pub fn payouts_usd(&self) -> f64 {
        self.honest_usd() + self.paid_pretending_usd
    }

    /// The part of the payouts that went to capacity which served no demand; none when nothing was paid out.
    pub fn paid_for_nothing(&self) -> Option<f64> {
        let all = self.payouts_usd();
        (all > 0.0).then(|| (self.paid_idle_usd + self.paid_pretending_usd) / all)
    }

    /// What came in less what went out, in USD: zero but for rounding.
    pub fn gap_usd(&self) -> f64 {
        let came = self.revenue_usd + self.minted.usd + self.reissued.usd + self.slashed_usd;
        came - self.payouts_usd()
            - self.validators_usd
            - self.treasury_usd
            - self.refunds_usd
            - self.burned.usd
    }

    /// Adds another epoch's to this.
    pub fn add(&mut self, other: &Self) {
        let sum = |a: &mut Tokens, b: Tokens| (a.tokens, a.usd) = (a.tokens + b.tokens, a.usd + b.usd);
        self.served_hours += other.served_hours;
        self.revenue_usd += other.revenue_usd;
        sum(&mut self.minted, other.minted);
        sum(&mut self.reissued, other.reissued);
        self.slashed_usd += other.slashed_usd;
        self.paid_served_usd += other.paid_served_usd;
        self.paid_checking_usd += other.paid_checking_usd;
        self.paid_idle_usd += other.paid_idle_usd;
        self.paid_pretending_usd += other.paid_pretending_usd;
        self.validators_usd += other.validators_usd;
        self.treasury_usd += other.treasury_usd;
        self.refunds_usd += other.refunds_usd;
        sum(&mut self.burned, other.burned);
    }
}

/// A rule from what an epoch brings to payouts, burns and mints. It may remember earlier epochs: issuance, bonds, vaults.
pub trait Mechanism {
    /// A short name: `akash`.
    fn name(&self) -> &'static str;

    /// The rule in one sentence.
    fn rule(&self) -> &'static str;

    /// Tokens in existence, as far as they belong to the market of the scenario; `None` without a token.
    fn supply_tokens(&self) -> Option<f64>;

    /// Runs one epoch.
    fn epoch(&mut self, inputs: &EpochInputs) -> EpochOutcome;
}

/// How far those who only pretend get with buyers who pay for work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Deception {
    /// How likely one is chosen against an honest provider, 0 to 1.
    pub chosen: f64,
    /// The part of the pay that one gets before the buyer notices, 0 to 1.
    pub paid: f64,
}

/// Hours that a market serves, and hours that its buyers lose to those who pretend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Served {
    pub hours: f64,
    /// What buyers pay for served hours, in USD.
    pub revenue_usd: f64,
    /// What they pay to those who pretend, in USD.
    pub lost_usd: f64,
}

/// What demand and capacity make of an epoch when buyers pay by the hour and bear what they lose to pretenders.
///
/// `capacity_per_hour` is how many GPU hours a served hour takes: more than one where work is checked by doing it twice.
pub(crate) fn serve(inputs: &EpochInputs, deception: Deception, capacity_per_hour: f64) -> Served {
    let lost_per_hour = deception.chosen * deception.paid * inputs.pretence();
    let wanted = inputs.demand_usd / (inputs.price_usd_per_gpu_hour * (1.0 + lost_per_hour));
    let hours = wanted.min(inputs.honest_hours() / capacity_per_hour);
    let revenue_usd = hours * inputs.price_usd_per_gpu_hour;
    Served { hours, revenue_usd, lost_usd: revenue_usd * lost_per_hour }
}
