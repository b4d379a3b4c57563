//! Finding the cheapest offers that match, among millions, without looking at those that cannot.
//!
//! An [`OfferIndex`] is derived from the state and never stored. Offers of one kind — role, unit, region, GPU model, and a
//! size: isolation, and the powers of two that GPUs, CPU and memory reach — share a bucket, sorted by price. What a search
//! asks for is a shelf: it lists its buckets by the cheapest offer of each. Every bucket is also on the shelf for any
//! region, and on those for any GPU model, so that one search is one shelf of each size, however many regions and models
//! there are. A search skips the shelves that are too small, and opens a bucket only when its cheapest offer is next.
//! An offer that comes or goes touches its bucket, and the shelves only if it is the cheapest there.

mod mismatch;
mod price;

pub use mismatch::{Mismatch, Wanted};
pub(crate) use mismatch::{amount, count};
pub use price::{PriceText, is_within, price_key};

use crate::{
    id::OfferId,
    name::Name,
    offer::{OfferRole, OfferTerms},
    order::Needs,
    resources::{Isolation, Resources},
    units::{Rate, Unit},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, btree_map, btree_set},
};

/// Offers of one kind, by price and age.
type Bucket = BTreeSet<Entry>;

/// Buckets by the cheapest offer of each.
type Shelf = BTreeMap<Entry, Kind>;

/// An offer's place in a bucket: both halves of its price key (a `u128` would be padded to half as much again), and itself.
type Entry = (u64, u64, OfferId);

fn entry(rate: &Rate, id: OfferId) -> Entry {
    let key = price_key(rate);
    ((key >> 64) as u64, key as u64, id)
}

/// Offers by what they are for, what they have and what they ask. See the [module documentation](self).
#[derive(Debug, Default)]
pub struct OfferIndex {
    buckets: BTreeMap<Kind, Bucket>,
    shelves: BTreeMap<Kind, Shelf>,
    offers: usize,
}

impl OfferIndex {
    /// An index without offers.
    pub fn new() -> OfferIndex {
        OfferIndex::default()
    }

    /// Adds an offer; one that is there already changes nothing.
    pub fn insert(&mut self, id: OfferId, terms: &OfferTerms) {
        let (kind, entry) = (Kind::of(terms), entry(&terms.rate, id));
        let bucket = self.buckets.entry(kind).or_default();
        let cheapest = bucket.first().copied();
        if !bucket.insert(entry) {
            return;
        }
        self.offers += 1;
        if cheapest.is_none_or(|cheapest| entry < cheapest) {
            self.show(kind, cheapest, Some(entry));
        }
    }

    /// Takes an offer out, given the terms that it was inserted with; one that is not there changes nothing.
    pub fn remove(&mut self, id: OfferId, terms: &OfferTerms) {
        let (kind, entry) = (Kind::of(terms), entry(&terms.rate, id));
        let Some(bucket) = self.buckets.get_mut(&kind) else { return };
        if !bucket.remove(&entry) {
            return;
        }
        self.offers -= 1;
        let cheapest = bucket.first().copied();
        if cheapest.is_none() {
            self.buckets.remove(&kind);
        }
        if cheapest.is_none_or(|cheapest| entry < cheapest) {
            self.show(kind, Some(entry), cheapest);
        }
    }

    /// Moves a bucket on its shelves, when its cheapest offer was `before` and is `now`.
    fn show(&mut self, bucket: Kind, before: Option<Entry>, now: Option<Entry>) {
        for kind in bucket.shelves() {
            let shelf = self.shelves.entry(kind).or_default();
            if let Some(before) = before {
                shelf.remove(&before);
            }
            if let Some(now) = now {
                shelf.insert(now, bucket);
            }
            if shelf.is_empty() {
                self.shelves.remove(&kind);
            }
        }
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
        let least = Kind::wanted(wanted);
        let dearest = entry(wanted.ceiling, OfferId(u64::MAX));
        let mut merged = Merged { index: self, dearest, heads: BinaryHeap::new(), sources: Vec::new() };
        let same = self.shelves.range(least..).take_while(|(kind, _)| kind.differs_in_size_only(&least));
        for (_, shelf) in same.filter(|(kind, _)| kind.may_hold(&least)) {
            merged.add_shelf(shelf.iter());
        }
        merged
    }
}

/// What offers have in common that share a bucket, or whose buckets share a shelf. These are keys that are compared all the
/// time, so they are numbers.
///
/// Names stand as their fingerprints: two names with the same one would share a bucket, which costs a search some looks and
/// changes nothing that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    /// Zero: the shelf for all regions.
    region: u32,
    /// Zero: the bucket for offers without GPUs, the shelf for GPUs of any model, or none.
    gpu_model: u32,
    /// A byte each for role, unit, isolation, and the counts of GPUs, memory of each, CPU and memory. Counts are kept as the
    /// number of their binary digits, so a bucket holds offers that differ by less than a factor of two in each.
    size: u64,
}

/// Where the bytes for the GPUs are in a size.
const GPU_BYTES: u64 = 0xffff_0000;
/// How many bits of a size come after role and unit.
const ROLE_AND_UNIT: u32 = 40;

impl Kind {
    /// The bucket of an offer.
    fn of(terms: &OfferTerms) -> Kind {
        let OfferTerms { role, rate, region, resources, isolation, .. } = terms;
        Kind::new(*role, rate.unit, Some(region), resources, *isolation)
    }

    /// The shelf on which everything stands that can match, in the smallest size that will do.
    fn wanted(wanted: &Wanted<'_>) -> Kind {
        let Needs { region, resources, isolation, .. } = wanted.needs;
        Kind::new(wanted.role, wanted.ceiling.unit, region.as_ref(), resources, *isolation)
    }

    fn new(
        role: OfferRole,
        unit: Unit,
        region: Option<&Name>,
        resources: &Resources,
        isolation: Isolation,
    ) -> Kind {
        let digits = |count: u64| (u64::BITS - count.leading_zeros()) as u8;
        let (cpu, memory) = (digits(resources.cpu_milli), digits(resources.memory_mib));
        let gpus = resources.gpus.as_ref();
        let gpu_count = gpus.map_or(0, |gpus| digits(gpus.count.into()));
        let gpu_memory = gpus.map_or(0, |gpus| digits(gpus.memory_mib));
        let size = [0, role as u8, unit as u8, isolation as u8, gpu_count, gpu_memory, cpu, memory];
        Kind {
            region: region.map_or(0, fingerprint),
            gpu_model: gpus.map_or(0, |gpus| fingerprint(&gpus.model)),
            size: u64::from_be_bytes(size),
        }
    }

    /// The shelves that a bucket stands on: two, or four when its offers have GPUs. Where any GPU model will do, GPUs do
    /// not count.
    fn shelves(self) -> impl Iterator<Item = Kind> {
        let any_model = Kind { gpu_model: 0, size: self.size & !GPU_BYTES, ..self };
        let models = [any_model, self].into_iter().take(1 + usize::from(self.gpu_model > 0));
        models.flat_map(|kind| [kind, Kind { region: 0, ..kind }])
    }

    fn differs_in_size_only(&self, other: &Kind) -> bool {
        let what = |kind: &Kind| (kind.region, kind.gpu_model, kind.size >> ROLE_AND_UNIT);
        what(self) == what(other)
    }

    /// Whether an offer of this size can have what something of that size needs.
    fn may_hold(&self, needs: &Kind) -> bool {
        self.size.to_be_bytes().iter().zip(needs.size.to_be_bytes()).all(|(has, needs)| *has >= needs)
    }
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>) of a name, both halves folded into one, and never zero.
fn fingerprint(name: &Name) -> u32 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step);
    ((hash >> 32 ^ hash) as u32).max(1)
}

/// Shelves as one sorted sequence of offers, read only as far as it is asked for.
struct Merged<'a> {
    index: &'a OfferIndex,
    /// Dearer entries are of no use.
    dearest: Entry,
    /// The next entry of each source, with the source's number.
    heads: BinaryHeap<Reverse<(Entry, usize)>>,
    sources: Vec<Source<'a>>,
}

/// What follows the entry that is among the heads.
enum Source<'a> {
    /// The entry is the cheapest of a bucket that is not open; dearer buckets of its shelf follow.
    Shelf { bucket: Kind, others: btree_map::Iter<'a, Entry, Kind> },
    /// The dearer offers of an open bucket.
    Bucket(btree_set::Iter<'a, Entry>),
}

impl<'a> Merged<'a> {
    fn add_shelf(&mut self, mut buckets: btree_map::Iter<'a, Entry, Kind>) {
        if let Some((entry, bucket)) = buckets.next() {
            self.add_head(Some(entry), self.sources.len());
            self.sources.push(Source::Shelf { bucket: *bucket, others: buckets });
        }
    }

    /// Opens the bucket whose cheapest offer is given out.
    fn open_bucket(&mut self, bucket: &Kind) {
        let Some(bucket) = self.index.buckets.get(bucket) else { return };
        let mut offers = bucket.iter();
        offers.next();
        self.add_head(offers.next(), self.sources.len());
        self.sources.push(Source::Bucket(offers));
    }

    fn add_head(&mut self, entry: Option<&Entry>, source: usize) {
        if let Some(entry) = entry.filter(|entry| **entry <= self.dearest) {
            self.heads.push(Reverse((*entry, source)));
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = OfferId;

    fn next(&mut self) -> Option<OfferId> {
        let Reverse(((_, _, id), nth)) = self.heads.pop()?;
        match &mut self.sources[nth] {
            Source::Bucket(offers) => {
                let next = offers.next();
                self.add_head(next, nth);
            }
            Source::Shelf { bucket, others } => {
                let opened = *bucket;
                if let Some((entry, next)) = others.next() {
                    *bucket = *next;
                    self.add_head(Some(entry), nth);
                }
                self.open_bucket(&opened);
            }
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests;
