//! Finding the cheapest offers that match, among millions, without looking at those that cannot.
//!
//! An [`OfferIndex`] is derived from the state and never stored. It keeps offers on shelves: one shelf for each role,
//! unit, region and GPU model. Every offer also stands on the shelf for any region, and on those for any GPU model, so
//! that one search is one shelf, however many regions and models there are. A shelf keeps one bucket for each size —
//! isolation, and the powers of two that GPUs, CPU and memory reach — and a bucket is sorted by price. A search skips
//! the buckets that are too small and merges the others, dearer offers untouched.

mod mismatch;
mod price;

pub use mismatch::{Mismatch, Wanted};
pub(crate) use mismatch::{amount, count};
pub use price::{PriceText, is_within, price_key};

use crate::{
    id::OfferId,
    name::Name,
    offer::{OfferRole, OfferTerms},
    resources::{Isolation, Resources},
    units::{Rate, Unit},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, btree_set},
};

/// Offers of one size, by price and age.
type Bucket = BTreeSet<Entry>;

/// An offer's place in a bucket: both halves of its price key (a `u128` would be padded to half as much again), and itself.
type Entry = (u64, u64, OfferId);

fn entry(rate: &Rate, id: OfferId) -> Entry {
    let key = price_key(rate);
    ((key >> 64) as u64, key as u64, id)
}

/// Offers by what they are for, what they have and what they ask. See the [module documentation](self).
#[derive(Debug, Default)]
pub struct OfferIndex {
    shelves: BTreeMap<Shelf, BTreeMap<Size, Bucket>>,
    offers: usize,
}

impl OfferIndex {
    /// An index without offers.
    pub fn new() -> OfferIndex {
        OfferIndex::default()
    }

    /// Adds an offer; one that is there already changes nothing.
    pub fn insert(&mut self, id: OfferId, terms: &OfferTerms) {
        let entry = entry(&terms.rate, id);
        let mut is_new = false;
        for shelf in Shelf::all_of(terms) {
            let size = Size::on(&shelf, &terms.resources, terms.isolation);
            is_new |= self.shelves.entry(shelf).or_default().entry(size).or_default().insert(entry);
        }
        self.offers += usize::from(is_new);
    }

    /// Takes an offer out, given the terms that it was inserted with; one that is not there changes nothing.
    pub fn remove(&mut self, id: OfferId, terms: &OfferTerms) {
        let entry = entry(&terms.rate, id);
        let mut was_there = false;
        for shelf in Shelf::all_of(terms) {
            let size = Size::on(&shelf, &terms.resources, terms.isolation);
            let Some(buckets) = self.shelves.get_mut(&shelf) else { continue };
            let Some(bucket) = buckets.get_mut(&size) else { continue };
            was_there |= bucket.remove(&entry);
            if bucket.is_empty() {
                buckets.remove(&size);
            }
            if buckets.is_empty() {
                self.shelves.remove(&shelf);
            }
        }
        self.offers -= usize::from(was_there);
    }

    /// How many offers are in it.
    pub fn len(&self) -> usize {
        self.offers
    }

    /// Whether no offer is in it.
    pub fn is_empty(&self) -> bool {
        self.offers == 0
    }

    /// The offers whose terms match, cheapest first, the older first at the same price. Whether a machine still has room
    /// is not its business.
    ///
    /// At most `looks_max` offers are looked at: somebody could stand in front with a million cheap offers that have the
    /// right size and lack an attribute.
    pub fn cheapest<'a, 't>(
        &'a self,
        wanted: Wanted<'a>,
        looks_max: usize,
        terms_of: impl Fn(OfferId) -> Option<&'t OfferTerms>,
    ) -> impl Iterator<Item = OfferId> {
        let matches = move |id: &OfferId| terms_of(*id).is_some_and(|terms| wanted.mismatch(terms).is_none());
        self.merged(&wanted).take(looks_max).filter(matches)
    }

    /// The offers in buckets that are large enough, up to the ceiling, by price and age.
    fn merged(&self, wanted: &Wanted<'_>) -> Merged<'_> {
        let shelf = Shelf::wanted(wanted);
        let least = Size::on(&shelf, &wanted.needs.resources, wanted.needs.isolation);
        let dearest = entry(wanted.ceiling, OfferId(u64::MAX));
        let mut merged = Merged { heads: BinaryHeap::new(), buckets: Vec::new() };
        let buckets = self.shelves.get(&shelf).into_iter().flatten();
        for (_, bucket) in buckets.filter(|(size, _)| size.may_hold(&least)) {
            merged.buckets.push(bucket.range(..=dearest));
            merged.advance(merged.buckets.len() - 1);
        }
        merged
    }
}

/// What every offer on a shelf has in common. Names stand as their fingerprints: two names with the same one would share
/// a shelf, which costs a search some looks and changes nothing that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shelf {
    role: OfferRole,
    unit: Unit,
    /// None: offers of all regions.
    region: Option<u64>,
    /// None: offers with GPUs of any model, or without.
    gpu_model: Option<u64>,
}

impl Shelf {
    /// The shelves that an offer stands on: two, or four when it has GPUs.
    fn all_of(terms: &OfferTerms) -> impl Iterator<Item = Shelf> {
        let OfferTerms { role, rate, region, resources, .. } = terms;
        let (role, unit, region) = (*role, rate.unit, fingerprint(region));
        let model = resources.gpus.as_ref().map(|gpus| fingerprint(&gpus.model));
        let models = [None, model].into_iter().take(1 + usize::from(model.is_some()));
        models.flat_map(move |gpu_model| {
            [None, Some(region)].map(|region| Shelf { role, unit, region, gpu_model })
        })
    }

    /// The shelf on which everything stands that can match.
    fn wanted(wanted: &Wanted<'_>) -> Shelf {
        let needs = wanted.needs;
        Shelf {
            role: wanted.role,
            unit: wanted.ceiling.unit,
            region: needs.region.as_ref().map(fingerprint),
            gpu_model: needs.resources.gpus.as_ref().map(|gpus| fingerprint(&gpus.model)),
        }
    }
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>) of a name.
fn fingerprint(name: &Name) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// How large the offers of a bucket are. Counts are kept as the number of their binary digits, so a bucket holds offers
/// that differ by less than a factor of two in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Size {
    isolation: Isolation,
    gpu_count: u32,
    gpu_memory: u32,
    cpu: u32,
    memory: u32,
}

impl Size {
    /// The size of something on a shelf; where any GPU model will do, GPUs do not count.
    fn on(shelf: &Shelf, resources: &Resources, isolation: Isolation) -> Size {
        let digits = |count: u64| u64::BITS - count.leading_zeros();
        let gpus = resources.gpus.as_ref().filter(|_| shelf.gpu_model.is_some());
        Size {
            isolation,
            gpu_count: gpus.map_or(0, |gpus| digits(gpus.count.into())),
            gpu_memory: gpus.map_or(0, |gpus| digits(gpus.memory_mib)),
            cpu: digits(resources.cpu_milli),
            memory: digits(resources.memory_mib),
        }
    }

    /// Whether an offer of this size can have what something of that size needs.
    fn may_hold(&self, needs: &Size) -> bool {
        self.isolation >= needs.isolation
            && self.gpu_count >= needs.gpu_count
            && self.gpu_memory >= needs.gpu_memory
            && self.cpu >= needs.cpu
            && self.memory >= needs.memory
    }
}

/// Several buckets as one sorted sequence, read only as far as it is asked for.
struct Merged<'a> {
    /// The cheapest entry of each bucket that was not given out, with the bucket's number.
    heads: BinaryHeap<Reverse<(Entry, usize)>>,
    /// What follows in each bucket.
    buckets: Vec<btree_set::Range<'a, Entry>>,
}

impl Merged<'_> {
    /// Puts the next entry of a bucket among the heads.
    fn advance(&mut self, bucket: usize) {
        if let Some(entry) = self.buckets[bucket].next() {
            self.heads.push(Reverse((*entry, bucket)));
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = OfferId;

    fn next(&mut self) -> Option<OfferId> {
        let Reverse(((_, _, id), bucket)) = self.heads.pop()?;
        self.advance(bucket);
        Some(id)
    }
}

#[cfg(test)]
mod tests;
