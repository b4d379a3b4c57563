//! The jobs of a buyer: placed once, followed by the production agent, found again after a crash.

use super::{GRIEF_MS, LOOK_MS, Party, Purpose};
use crate::{
    cheat::Cheat,
    market_host::now_or_never,
    order::{job_spec, order_terms},
    plan::JobPlan,
    stage::{PartyEvent, Request, Response, Stage},
};
use market::{
    command::Command,
    funding::Funding,
    id::{Digest, JobId, PartyId},
    job::Verification,
    key::SecretKey,
    reply::Reply,
    units::{Msat, TimeMs},
    verify::{Chain, rounds_for},
};
use node::{
    api::HoldView,
    buyer::{
        agent::{Action, Follower, Input, Payable, Resume, Tried},
        hold_check::{self, Expected},
    },
};
use pay::{LightningNode, Network, PayRequest};
use std::{collections::BTreeSet, rc::Rc};

/// A job of this buyer.
#[derive(Debug)]
pub(crate) struct OwnJob {
    /// The plan.
    pub(crate) plan: JobPlan,
    /// Its module stands for it.
    pub(crate) module: Digest,
    /// Its id, once it is placed.
    pub(crate) job: Option<JobId>,
    chain: Chain,
    /// The order as it was signed, kept before it is sent: after a crash it is sent again, not made again.
    pub(super) draft: Option<Rc<Request>>,
    /// How far audit links are revealed, kept before they are.
    resume: Resume,
    /// The production agent that follows it, while the process runs.
    pub(super) follower: Option<Follower>,
    /// When the next look is due that is in the queue already.
    pub(super) looks_at: TimeMs,
    pub(super) is_over: bool,
}

impl Party {
    pub(super) fn place(&mut self, stage: &mut Stage, n: usize) {
        let Some(own) = self.jobs.get(n).filter(|own| own.draft.is_none()) else { return };
        let named: Option<Vec<PartyId>> =
            own.plan.named.iter().map(|party| stage.known.get(party).copied()).collect();
        let Some(named) = named.filter(|_| self.steps.is_empty()) else {
            return self.later(stage, 2_000, PartyEvent::Place(n));
        };
        let is_verified = own.plan.verification != Verification::None;
        let command = Command::PlaceOrder {
            terms: Box::new(order_terms(&own.plan)),
            job: Box::new(job_spec(&own.plan, own.module, named)),
            audit_anchor: is_verified.then(|| own.chain.anchor()),
        };
        let statement = self.sign(stage, command);
        let order = self.send_signed(stage, statement, Purpose::Place(n));
        if let Some(own) = self.jobs.get_mut(n) {
            own.draft = Some(order);
        }
    }

    pub(super) fn placed(&mut self, stage: &mut Stage, n: usize, response: Option<&Response>) {
        let Some(own) = self.jobs.get_mut(n) else { return };
        match response {
            Some(Response::Accepted(accepted)) => {
                if let Reply::Order { job, .. } = accepted.reply {
                    own.job = Some(job);
                    self.follow(stage, n, job);
                }
                if self.plan.cheat == Some(Cheat::GriefingCancel) {
                    self.later(stage, GRIEF_MS, PartyEvent::Cancel(n));
                }
            }
            Some(_) => {
                own.is_over = true;
                stage.count("order refused");
            }
            // The statement has expired without an answer. Placing the order again could buy twice, so the buyer
            // gives this one up; if it was placed after all, it runs to its end unattended.
            None => {
                own.is_over = true;
                stage.count("order given up");
            }
        }
    }

    /// Pays the invoices of a lease's hold, each once: the node pays a hash no second time.
    fn pay_hold(&mut self, stage: &mut Stage, hold: &HoldView) -> Tried {
        let Ok(slices) = u8::try_from(hold.payment_hashes.len()) else {
            return Tried::Refused { why: "too many slices".into() };
        };
        let expected = Expected {
            funding: Some(Funding::Hold { slice_msat: hold.slice_msat, slices }),
            network: Some(Network::Regtest),
            now: stage.now,
            left_msat: Msat::MAX,
            taken: BTreeSet::new(),
        };
        // Invoices that have expired since they were paid are still followed to their end.
        if let Err(error) = hold_check::check(hold, &expected) {
            return Tried::NotYet { why: error.to_string() };
        }
        for bolt11 in &hold.invoices {
            stage.note("hold paid");
            let max_fee = Msat(100_000);
            let request = PayRequest { bolt11: bolt11.clone(), amount: hold.slice_msat, max_fee };
            let _ = now_or_never(self.lightning.pay(request));
        }
        Tried::OnItsWay { amount_msat: Msat(hold.slice_msat.0 * u64::from(slices)) }
    }

    pub(super) fn follow(&mut self, stage: &mut Stage, n: usize, job: JobId) {
        if let Some(own) = self.jobs.get_mut(n) {
            let chain = (own.plan.verification != Verification::None).then_some(own.chain);
            own.follower = Some(Follower::new(job, chain, own.resume, true));
        }
        self.tell(stage, n, Input::Time);
    }

    /// Tells a job's agent something and does what it wants.
    pub(super) fn tell(&mut self, stage: &mut Stage, n: usize, input: Input) {
        let Some(own) = self.jobs.get_mut(n) else { return };
        let (Some(follower), Some(job)) = (&mut own.follower, own.job) else { return };
        let actions = follower.handle(stage.now, input);
        own.is_over |= follower.is_done();
        // A wake that is over waits for an answer that is on its way.
        let due = Some(follower.next_wake()).filter(|wake| *wake > stage.now);
        let due = due.unwrap_or(TimeMs(u64::MAX)).min(stage.now.plus(LOOK_MS));
        if !own.is_over && due < own.looks_at {
            own.looks_at = due;
            self.later(stage, due.since(stage.now), PartyEvent::Look(n));
        }
        for action in actions {
            match action {
                Action::Look => self.caller.ask(stage, 0, Request::Job(job), Purpose::Look(n)),
                Action::LookAtTasks => self.caller.ask(stage, 0, Request::Tasks(job), Purpose::Tasks(n)),
                Action::Fetch { task, result } => {
                    self.caller.ask(stage, 0, Request::Fetch(result.output), Purpose::Fetch(n, task));
                }
                Action::Submit { round, command } => self.reveal(stage, n, round, command),
                Action::Keep(resume) => {
                    if let Some(own) = self.jobs.get_mut(n) {
                        own.resume = resume;
                    }
                }
                Action::PayHold(hold) => {
                    let tried = self.pay_hold(stage, &hold);
                    self.tell(stage, n, Input::Tried { what: Payable::Hold(hold.lease), tried });
                }
                // No order of a plan is paid to decrypt.
                Action::BuyKey(sale) => {
                    let tried = Tried::Refused { why: "nothing is paid to decrypt here".into() };
                    self.tell(stage, n, Input::Tried { what: Payable::Key(sale.attempt), tried });
                }
                // Buyers are given money by the plan, not by their jobs.
                Action::TopUp { .. } => {
                    let tried = Tried::NotYet { why: "the plan says when money comes".into() };
                    self.tell(stage, n, Input::Tried { what: Payable::Session, tried });
                }
                // Nobody watches it.
                Action::Tell(_) => {}
            }
        }
    }

    /// Reveals a link, or what this buyer makes of it.
    fn reveal(&mut self, stage: &mut Stage, n: usize, round: u32, mut command: Command) {
        match (&mut command, self.plan.cheat) {
            (_, Some(Cheat::WithholdsLinks)) => {
                return self.tell(stage, n, Input::Submitted { round, is_accepted: true });
            }
            (Command::RevealBuyerLink(link), Some(Cheat::FalseLinks)) => link.link = Digest::of(&link.link.0),
            _ => {}
        }
        self.send(stage, command, Purpose::Link(n, round));
    }
}

/// A job that is planned.
pub(super) fn own_job(key: &SecretKey, plan: &JobPlan, n: u64) -> OwnJob {
    let digest = |domain| Digest::of_parts(domain, &[&key.to_bytes(), &n.to_le_bytes()]);
    OwnJob {
        plan: plan.clone(),
        module: digest("gristmill simulation module"),
        job: None,
        chain: Chain::new(digest("gristmill simulation chain"), rounds_for(plan.tasks)),
        draft: None,
        resume: Resume::default(),
        follower: None,
        looks_at: TimeMs(u64::MAX),
        is_over: false,
    }
}
