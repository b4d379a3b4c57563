//! Sales: results that are encrypted, and whose provider is paid for the key when replicas have vouched for them.
//!
//! Claimed (the deposit is set aside, and the bond has to cover the price) → committed → revealed with the ciphertext, the
//! payment hash and an invoice, all signed → replicas agree → the buyer pays → it shows the preimage, and has its deposit
//! back less the fee; or it shows nothing, and the provider has the deposit; or it says that the key opens something else,
//! the venue says what it opens, and a wrong key costs the bond. The market never has the price.

use super::{
    Actor, Engine,
    state::{Lease, Offered, Sale, SaleOutcome, SalePhase, Timer},
};
use crate::{
    effect::Effect,
    event::Event,
    funding::{Funding, SaleOffer, SalePrice},
    id::{AttemptId, Digest, JobId, LeaseId, TransferId},
    job::{JobSpec, Verification},
    order::OrderTerms,
    preimage::Preimage,
    rejection::{Conflict, Entity, NeedsSigner, Rejection},
    reply::Reply,
    reputation::Observation,
    units::{Msat, Unit},
    verify::TaskResult,
};

/// The longest invoice, in bytes.
const BOLT11_MAX_BYTES: usize = 4_096;

impl Engine {
    /// Whether an order that pays to decrypt can do so: somebody vouches for the results, each has a price of its own, and the
    /// bond that it demands covers one.
    pub(super) fn check_sales(&self, terms: &OrderTerms, spec: &JobSpec) -> Result<(), Rejection> {
        let Some(Funding::Decrypt { deposit_ppm }) = terms.funding else { return Ok(()) };
        let flaw = |what: String| Err(Rejection::Flaw(what));
        if !matches!(spec.verification, Verification::Replicas { .. }) {
            return flaw(
                "what is paid to decrypt has to be verified by replicas: somebody has to vouch for it".into(),
            );
        }
        if terms.ceiling.unit != Unit::Task {
            return flaw("what is paid to decrypt has a price by the task".into());
        }
        let most = SalePrice::new(&self.rules, &terms.ceiling, deposit_ppm)?.invoice_msat();
        if terms.needs.min_bond_msat < most {
            return flaw(format!(
                "what is paid to decrypt is fair up to the bond: demand one of {most} or more, the price of a result"
            ));
        }
        Ok(())
    }

    /// What the results of a lease are sold for; `None` where they are not.
    pub(super) fn sale_price(&self, lease: LeaseId) -> Option<SalePrice> {
        let row = self.state.lease(lease);
        match self.state.order(row.order).terms.funding {
            Some(Funding::Decrypt { deposit_ppm }) if !row.is_audit => {
                SalePrice::new(&self.rules, &row.rate, deposit_ppm).ok()
            }
            Some(Funding::Decrypt { .. } | Funding::Session { .. } | Funding::Hold { .. }) | None => None,
        }
    }

    /// Whether the bond of a lease's party covers another sale beside those that are under way. Where nothing is sold,
    /// nothing is to be covered.
    pub(super) fn bond_covers_sale(&self, lease: LeaseId) -> bool {
        let Some(price) = self.sale_price(lease) else { return true };
        let party = self.state.lease(lease).party;
        let at_sale = self.state.party(party).at_sale_msat;
        at_sale.0.saturating_add(price.invoice_msat().0) <= self.bond(party).0
    }

    /// An attempt was handed out whose result will be sold.
    pub(super) fn begin_sale(&mut self, lease: LeaseId, attempt: AttemptId, task: u32) {
        let Some(price) = self.sale_price(lease) else { return };
        let row = self.state.lease_mut(lease);
        row.sales.insert(attempt, Sale { task, price, phase: SalePhase::Working });
        let party = row.party;
        let party = self.state.party_mut(party);
        party.at_sale_msat = Msat(party.at_sale_msat.0.saturating_add(price.invoice_msat().0));
    }

    fn end_cover(&mut self, lease: LeaseId, price: SalePrice) {
        let party = self.state.lease(lease).party;
        let party = self.state.party_mut(party);
        party.at_sale_msat = party.at_sale_msat.saturating_sub(price.invoice_msat());
    }

    /// An attempt ended without anything to sell.
    pub(super) fn drop_sale(&mut self, lease: LeaseId, attempt: AttemptId) {
        let sales = &mut self.state.lease_mut(lease).sales;
        let is_nothing = |sale: &Sale| matches!(sale.phase, SalePhase::Working | SalePhase::Revealed(_));
        if let Some(sale) = sales.get(&attempt).filter(|sale| is_nothing(sale)) {
            let price = sale.price;
            sales.remove(&attempt);
            self.end_cover(lease, price);
        }
    }

    /// Whether what a reveal brings is what the job needs: an encrypted result of an attempt whose result is sold, and none
    /// of any other.
    pub(super) fn check_offer(
        &self,
        lease: LeaseId,
        attempt: AttemptId,
        result: &TaskResult,
        offer: Option<&SaleOffer>,
    ) -> Result<(), Rejection> {
        let row = self.state.lease(lease);
        let flaw = |what: &str| Err(Rejection::Flaw(format!("{attempt}: {what}")));
        let offer = match (row.sales.contains_key(&attempt), offer) {
            (false, None) => return Ok(()),
            (false, Some(_)) => return flaw("its result is not sold, so it is not offered"),
            (true, None) => return flaw("its result is paid to decrypt: encrypt it, and say where"),
            (true, Some(offer)) => offer,
        };
        let machine = self.state.machine(row.machine).key;
        if offer.encrypted.signer != machine
            || offer.encrypted.verify(&self.state.venue, attempt, result.output).is_err()
        {
            return flaw("the machine's key has not signed this encrypted result");
        }
        let invoice = &offer.invoice;
        if invoice.is_empty() || invoice.len() > BOLT11_MAX_BYTES || !invoice.is_ascii() {
            return flaw("an invoice has 1 to 4096 ASCII characters");
        }
        Ok(())
    }

    /// An encrypted result was revealed.
    pub(super) fn keep_offer(
        &mut self,
        lease: LeaseId,
        attempt: AttemptId,
        result: TaskResult,
        offer: Option<&SaleOffer>,
    ) {
        if let (Some(sale), Some(offer)) = (self.state.lease_mut(lease).sales.get_mut(&attempt), offer) {
            sale.phase = SalePhase::Revealed(Offered { offer: offer.clone(), result });
        }
    }

    /// Whether an attempt's result is sold by itself.
    pub(super) fn is_sold(&self, attempt: AttemptId) -> bool {
        let lease = self.state.attempts.get(&attempt).map(|row| row.lease);
        lease.is_some_and(|lease| self.state.lease(lease).sales.contains_key(&attempt))
    }

    /// Whether the results of a job are sold by those who gave them.
    pub(super) fn pays_to_decrypt(&self, job: JobId) -> bool {
        matches!(self.state.order(self.state.job(job).order).terms.funding, Some(Funding::Decrypt { .. }))
    }

    /// An encrypted result was accepted: the buyer is to pay for its key.
    pub(super) fn open_sale(
        &mut self,
        lease: LeaseId,
        attempt: AttemptId,
        is_verified: bool,
        deposit: Option<TransferId>,
    ) {
        let until = self.now().plus(self.rules.sale_pay_ms);
        let row = self.state.lease_mut(lease);
        let job = row.job;
        row.books.accepted += 1;
        let Some(sale) = row.sales.get_mut(&attempt) else { return };
        let SalePhase::Revealed(offered) = &sale.phase else {
            unreachable!("{attempt} was accepted before it was encrypted")
        };
        sale.phase = SalePhase::Payable { offered: offered.clone(), is_verified, deposit, until };
        let (task, invoice_msat) = (sale.task, sale.price.invoice_msat());
        self.set_timer(until, Timer::Sale(lease, attempt));
        self.emit(Event::SaleOpened { lease, job, attempt, task, invoice_msat, until_ms: until });
    }

    /// What a buyer has shown a preimage for, if it opens it.
    fn shown(
        &self,
        actor: Actor,
        lease: LeaseId,
        attempt: AttemptId,
        preimage: &Preimage,
    ) -> Result<(Offered, Option<TransferId>), Rejection> {
        let buyer = self.signing_party(actor)?;
        let row = self.lease_with_sale(lease)?;
        if row.buyer != buyer {
            return Err(Rejection::NotAllowed { needs: NeedsSigner::Owner });
        }
        let Some(SalePhase::Payable { offered, deposit, .. }) =
            row.sales.get(&attempt).map(|sale| &sale.phase)
        else {
            return Err(Rejection::conflict(Entity::Attempt(attempt), Conflict::NoSuchSale));
        };
        if preimage.payment_hash() != offered.offer.encrypted.payment_hash {
            return Err(Rejection::BadPreimage { lease });
        }
        Ok((offered.clone(), *deposit))
    }

    pub(super) fn show_key(
        &mut self,
        actor: Actor,
        lease: LeaseId,
        attempt: AttemptId,
        preimage: &Preimage,
    ) -> Result<Reply, Rejection> {
        let (offered, deposit) = self.shown(actor, lease, attempt, preimage)?;
        self.sell(lease, attempt, offered, deposit, *preimage);
        Ok(Reply::Done)
    }

    pub(super) fn dispute_key(
        &mut self,
        actor: Actor,
        lease: LeaseId,
        attempt: AttemptId,
        ciphertext: Digest,
        preimage: &Preimage,
    ) -> Result<Reply, Rejection> {
        let (offered, deposit) = self.shown(actor, lease, attempt, preimage)?;
        if offered.offer.encrypted.ciphertext != ciphertext {
            return Err(Rejection::Flaw(format!("{attempt} was encrypted in another ciphertext")));
        }
        let job = self.state.lease(lease).job;
        self.set_phase(lease, attempt, SalePhase::Disputed { offered, deposit, preimage: *preimage });
        self.state.disputes.insert((lease, attempt));
        self.emit(Event::KeyDisputed { lease, job, attempt });
        self.effect(Effect::JudgeKey { lease, attempt });
        Ok(Reply::Done)
    }

    pub(super) fn judge_key(
        &mut self,
        lease: LeaseId,
        attempt: AttemptId,
        opened: Option<Digest>,
    ) -> Result<Reply, Rejection> {
        let row = self.lease_with_sale(lease)?;
        let Some(SalePhase::Disputed { offered, deposit, preimage }) =
            row.sales.get(&attempt).map(|sale| &sale.phase)
        else {
            return Err(Rejection::conflict(Entity::Attempt(attempt), Conflict::NoSuchSale));
        };
        let (offered, deposit, preimage) = (offered.clone(), *deposit, *preimage);
        self.state.disputes.remove(&(lease, attempt));
        if opened == Some(offered.result.output) {
            self.sell(lease, attempt, offered, deposit, preimage);
        } else {
            self.convict_of_forgery(lease, attempt, offered, deposit, (preimage, opened));
        }
        Ok(Reply::Done)
    }

    /// The buyer has what it paid for: its deposit comes back, less the fee.
    fn sell(
        &mut self,
        lease: LeaseId,
        attempt: AttemptId,
        offered: Offered,
        deposit: Option<TransferId>,
        preimage: Preimage,
    ) {
        let Some(price) = self.end_sale(lease, attempt, offered, SaleOutcome::Sold { preimage }) else {
            return;
        };
        if let Some(transfer) = deposit {
            self.post_reserved(transfer, price.fee_msat);
        }
        let price_msat = price.price_msat;
        let row = self.state.lease_mut(lease);
        row.books.paid_msat = Msat(row.books.paid_msat.0.saturating_add(price_msat.0));
        let (job, party) = (row.job, row.party);
        let job_row = self.state.job_mut(job);
        job_row.paid_msat = Msat(job_row.paid_msat.0.saturating_add(price_msat.0));
        self.observe(lease, price_msat, Observation::Accepted);
        self.emit(Event::ResultSold { lease, job, party, attempt, price_msat });
        self.close_if_drained(lease);
    }

    /// The buyer has shown no key in time. Nobody can say who would not have whose money, so the provider has what was set
    /// aside for that, and the buyer no result.
    pub(super) fn sale_is_due(&mut self, lease: LeaseId, attempt: AttemptId) {
        let Some(sale) = self.state.leases.get(lease).and_then(|row| row.sales.get(&attempt)) else { return };
        let SalePhase::Payable { offered, deposit, until, .. } = &sale.phase else { return };
        if *until > self.now() {
            return;
        }
        let (offered, deposit) = (offered.clone(), *deposit);
        let Some(price) = self.end_sale(lease, attempt, offered, SaleOutcome::Unsold) else { return };
        let deposit_msat = price.deposit_msat;
        if let Some(transfer) = deposit {
            self.post_reserved(transfer, deposit_msat);
        }
        let row = self.state.lease_mut(lease);
        row.books.compensation_msat = Msat(row.books.compensation_msat.0.saturating_add(deposit_msat.0));
        let (job, party) = (row.job, row.party);
        let job_row = self.state.job_mut(job);
        job_row.paid_msat = Msat(job_row.paid_msat.0.saturating_add(deposit_msat.0));
        self.emit(Event::ResultUnsold { lease, job, party, attempt, deposit_msat });
        self.close_if_drained(lease);
    }

    /// A key that opens something else than what its provider signed: the bond pays the buyer what it has paid, and the rest
    /// of it is lost.
    fn convict_of_forgery(
        &mut self,
        lease: LeaseId,
        attempt: AttemptId,
        offered: Offered,
        deposit: Option<TransferId>,
        (preimage, opened): (Preimage, Option<Digest>),
    ) {
        let (encrypted, output) = (Box::new(offered.offer.encrypted), offered.result.output);
        let outcome = SaleOutcome::Forged { preimage, opened };
        let Some(price) = self.end_sale(lease, attempt, offered, outcome) else { return };
        if let Some(transfer) = deposit {
            self.void_reserved(transfer);
        }
        self.observe(lease, price.price_msat, Observation::Wrong);
        let row = self.state.lease_mut(lease);
        row.books.wrong += 1;
        let (job, party) = (row.job, row.party);
        self.emit(Event::KeyForged { lease, job, party, attempt, encrypted, output, preimage, opened });
        self.convict(lease, price.invoice_msat());
        self.close_if_drained(lease);
    }

    fn end_sale(
        &mut self,
        lease: LeaseId,
        attempt: AttemptId,
        offered: Offered,
        outcome: SaleOutcome,
    ) -> Option<SalePrice> {
        let price = self.state.lease(lease).sales.get(&attempt)?.price;
        self.set_phase(lease, attempt, SalePhase::Over { offered, outcome });
        self.end_cover(lease, price);
        Some(price)
    }

    fn set_phase(&mut self, lease: LeaseId, attempt: AttemptId, phase: SalePhase) {
        if let Some(sale) = self.state.lease_mut(lease).sales.get_mut(&attempt) {
            sale.phase = phase;
        }
    }

    /// What the bond of a party has to keep for buyers who may have paid it: a conviction for something else does not take
    /// that away from them.
    pub(super) fn owed_to_buyers(&self, leases: &[LeaseId]) -> Msat {
        let sales = leases.iter().flat_map(|lease| self.state.lease(*lease).sales.values());
        let open = sales.filter(|sale| sale.is_open()).map(|sale| sale.price.invoice_msat().0);
        Msat(open.fold(0, u64::saturating_add))
    }

    fn lease_with_sale(&self, lease: LeaseId) -> Result<&Lease, Rejection> {
        self.state.leases.get(lease).ok_or(Rejection::Unknown(Entity::Lease(lease)))
    }
}
