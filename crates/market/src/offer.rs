//! Offers: what a machine sells, at which price, on which terms.

use crate::{
    funding::{HoldTerms, SaleTerms},
    name::Name,
    resources::{Attributes, Isolation, MAX_ATTRIBUTES, Resources},
    sparse::serialize_sparsely,
    units::{PPM, Rate},
};
use serde::{Deserialize, Serialize};

/// What an offer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferRole {
    /// Runs buyers' tasks (and replicas drawn among them).
    Work,
    /// Runs hidden replicas only: a validator.
    Audit,
}

/// The terms of a standing offer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferTerms {
    /// What the offer is for.
    pub role: OfferRole,
    /// The lowest price at which the machine works.
    pub rate: Rate,
    /// The most that one lease under this offer may reserve.
    pub resources: Resources,
    /// How strongly it isolates work.
    pub isolation: Isolation,
    /// Where the machine stands, by its owner's word.
    pub region: Name,
    /// Hardware class, by its owner's word; reputation is kept per class.
    pub class: Name,
    /// Further facts.
    #[serde(default)]
    pub attributes: Attributes,
    /// The longest lease that it takes, in milliseconds.
    pub lease_max_ms: u64,
    /// Whether it takes orders that are paid by holds, and on which terms.
    #[serde(default)]
    pub holds: Option<HoldTerms>,
    /// Whether it takes orders that are paid to decrypt, and on which terms.
    #[serde(default)]
    pub sales: Option<SaleTerms>,
}

serialize_sparsely!(OfferTerms {
    role, rate, resources, isolation, region, class, attributes, lease_max_ms, holds, sales
} but holds, sales when there);

impl OfferTerms {
    /// The first thing that makes the terms unusable, in words.
    pub fn flaw(&self) -> Option<&'static str> {
        if self.rate.per == 0 {
            Some("the rate counts zero units")
        } else if self.rate.msat.0 == 0 {
            Some("the price is zero; offer at least 1 msat")
        } else if !self.resources.is_sane() {
            Some("the resources are zero or far too large")
        } else if self.attributes.len() > MAX_ATTRIBUTES {
            Some("more than 16 attributes")
        } else if self.lease_max_ms == 0 {
            Some("a lease of zero length")
        } else if self.sales.is_some_and(|sales| u64::from(sales.deposit_min_ppm) > PPM) {
            Some("a deposit of more than the price")
        } else {
            None
        }
    }
}
