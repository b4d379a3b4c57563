//! The market's parameters, by version. A change is a new version and a journaled `activate_rules`; old versions stay,
//! so that old journals replay to the same state.

use crate::units::{Msat, PPM};

/// The parameters of one version of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The version.
    pub version: u32,
    /// The operator's share of what providers earn, in parts per million.
    pub fee_ppm: u32,
    /// The largest balance of a party: what somebody can lose when the operator fails.
    pub balance_cap_msat: Msat,
    /// The smallest amount of a top-up or withdrawal.
    pub payment_min_msat: Msat,
    /// How long a granted lease waits for its machine, in milliseconds.
    pub claim_grace_ms: u64,
    /// How long a lease survives the loss of its machine, in milliseconds.
    pub lost_grace_ms: u64,
    /// How long every deadline is extended after an outage of the market, in milliseconds.
    pub resume_grace_ms: u64,
    /// How long buyer and venue have for an audit link, in milliseconds.
    pub link_grace_ms: u64,
    /// How long a party has to take a replica that it was drawn for, in milliseconds.
    pub replica_claim_ms: u64,
    /// How long a provider has for a reveal, in milliseconds.
    pub reveal_grace_ms: u64,
    /// How long a task may wait for somebody to run its replicas before it is left undecided, in milliseconds.
    pub replica_wait_ms: u64,
    /// The most parties that are asked about an audited task.
    pub audit_replicas_max: u8,
    /// An attempt is a straggler when it has taken this many times the mean of the job's attempts…
    pub straggler_factor: u32,
    /// …and at least this long, in milliseconds.
    pub straggler_min_ms: u64,
    /// The most attempts that one lease may have running at once.
    pub attempts_per_lease_max: u32,
    /// How many offers are looked at for one order before the search ends, the best found so far winning.
    pub match_search_max: u32,
    /// Whether a venue that withholds its audit link pays for auditing the batch. Under rules without it the job's budget
    /// pays, whoever withheld.
    pub venue_pays_withheld: bool,
    /// How long the payments of a hold may take to be invoiced, paid and held before its lease is void, in milliseconds.
    pub hold_fund_ms: u64,
    /// How long a provider has to claim or cancel what it holds, once it is told which, in milliseconds.
    pub hold_claim_ms: u64,
    /// How much longer than everything planned a payment has to be held, in milliseconds: blocks come when they like.
    pub hold_margin_ms: u64,
    /// The most that a party may have in flight in holds, before faults.
    pub in_flight_cap_msat: Msat,
    /// How long a session without money waits for more before its job ends, in milliseconds.
    pub session_grace_ms: u64,
    /// How long a buyer has to pay for a verified result and to show its key, in milliseconds.
    pub sale_pay_ms: u64,
    /// Whether receipts name the bond that the order demanded, so that whoever reads one sees what deterred cheating.
    pub receipts_name_bond: bool,
}

/// The rules of the first version.
const V1: Rules = Rules {
    version: 1,
    fee_ppm: 20_000,
    balance_cap_msat: Msat(10_000_000_000),
    payment_min_msat: Msat(1_000),
    claim_grace_ms: 30_000,
    lost_grace_ms: 60_000,
    resume_grace_ms: 60_000,
    link_grace_ms: 30_000,
    replica_claim_ms: 10_000,
    reveal_grace_ms: 30_000,
    replica_wait_ms: 600_000,
    audit_replicas_max: 5,
    straggler_factor: 3,
    straggler_min_ms: 2_000,
    attempts_per_lease_max: 4_096,
    match_search_max: 65_536,
    hold_fund_ms: 180_000,
    hold_claim_ms: 600_000,
    hold_margin_ms: 7_200_000,
    in_flight_cap_msat: Msat(100_000_000_000),
    session_grace_ms: 300_000,
    sale_pay_ms: 600_000,
    venue_pays_withheld: false,
    receipts_name_bond: false,
};

/// Version 2: the same market with a tighter grace for lost machines, for venues whose machines are close by (and the
/// demonstration, where nobody wants to wait a minute for a machine that died).
const V2: Rules =
    Rules { version: 2, claim_grace_ms: 10_000, lost_grace_ms: 3_000, replica_claim_ms: 4_000, ..V1 };

/// Version 3: as version 1, but the venue pays when it withholds its audit link, and receipts name the bond.
const V3: Rules = Rules { version: 3, venue_pays_withheld: true, receipts_name_bond: true, ..V1 };

/// Version 4: the times of version 2, with what version 3 brought. A lease may take as long to begin as elsewhere: on a busy machine
/// compiling the module alone can take longer than version 2 waits.
const V4: Rules = Rules {
    version: 4,
    claim_grace_ms: V1.claim_grace_ms,
    venue_pays_withheld: true,
    receipts_name_bond: true,
    ..V2
};

impl Rules {
    /// The rules that every journal begins under, until its first `activate_rules`.
    pub const FIRST: Rules = V1;
    /// The rules that a new venue activates.
    pub const RECOMMENDED: Rules = V3;
    /// Every version that this program can run.
    pub const ALL: [Rules; 4] = [V1, V2, V3, V4];

    /// The rules of a version, if this program knows them.
    pub fn version(version: u32) -> Option<Rules> {
        Rules::ALL.into_iter().find(|rules| rules.version == version)
    }
}

const _: () = assert!((V1.fee_ppm as u64) < PPM);
