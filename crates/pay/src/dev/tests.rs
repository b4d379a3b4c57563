use super::*;
use crate::{
    conformance::{self, Testbed},
    node::{FailureReason, Network},
};
use proptest::prelude::*;
use std::{
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};

const START: u64 = 1_750_000_000_000;
const FUNDS: Msat = Msat(100_000_000);
const AMOUNT: Msat = Msat(1_000_000);

/// A network whose clock the test moves.
pub(crate) struct Bed {
    time: Arc<AtomicU64>,
    network: DevNetwork,
    pub(crate) alice: DevNode,
    pub(crate) bob: DevNode,
}

impl Bed {
    pub(crate) fn new() -> Bed {
        Bed::seeded([7; 32])
    }

    fn seeded(seed: [u8; 32]) -> Bed {
        let time = Arc::new(AtomicU64::new(START));
        let network = DevNetwork::new(seed, clock(&time));
        let (alice, bob) = (network.node("alice"), network.node("bob"));
        network.issue(&alice, FUNDS).unwrap();
        Bed { time, network, alice, bob }
    }

    fn wait(&self, ms: u64) {
        self.time.fetch_add(ms, Ordering::Relaxed);
    }

    fn invoice(&self) -> Invoice {
        now(self.bob.create_invoice(request())).unwrap()
    }

    fn pay(&self, invoice: &Invoice) -> Result<PaymentState, PayError> {
        now(self.alice.pay(to_pay(invoice)))
    }

    fn payment(&self, invoice: &Invoice) -> PaymentState {
        now(self.alice.payment(invoice.payment_hash)).unwrap().unwrap()
    }

    fn alice_has(&self) -> NodeBalance {
        now(self.alice.balance()).unwrap()
    }
}

impl Testbed for Bed {
    fn payer(&self) -> &dyn LightningNode {
        &self.alice
    }

    fn payee(&self) -> &dyn LightningNode {
        &self.bob
    }

    fn pass_time(&self, ms: u64) -> NodeFuture<'_, (), Unavailable> {
        self.wait(ms);
        Box::pin(ready(Ok(())))
    }

    fn hang_next_payment(&self, for_ms: u64) -> bool {
        self.alice.inject(Fault::HangPayment { for_ms, then: HangEnd::Delivered });
        true
    }

    fn set_payee_reachable(&self, is_reachable: bool) -> NodeFuture<'_, bool, Unavailable> {
        if !is_reachable {
            self.alice.inject(Fault::FailPayment);
        }
        Box::pin(ready(Ok(true)))
    }

    fn restart(&self) -> NodeFuture<'_, bool, Unavailable> {
        let written = serde_json::to_vec(&self.network.save()).unwrap();
        self.network.load(serde_json::from_slice(&written).unwrap());
        Box::pin(ready(Ok(true)))
    }
}

fn clock(time: &Arc<AtomicU64>) -> impl Fn() -> TimeMs + Send + Sync + 'static {
    let time = Arc::clone(time);
    move || TimeMs(time.load(Ordering::Relaxed))
}

fn request() -> InvoiceRequest {
    InvoiceRequest { amount: AMOUNT, description: "test".to_owned(), expires_in_ms: 60_000 }
}

fn to_pay(invoice: &Invoice) -> PayRequest {
    PayRequest { bolt11: invoice.bolt11.clone(), amount: AMOUNT, max_fee: Msat(10_000) }
}

/// What a future gives without ever waiting: a dev network needs no runtime.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a dev node made its caller wait"),
    }
}

#[test]
fn the_dev_network_conforms() {
    let report = now(conformance::run(async || Bed::new()));
    assert!(report.failed.is_empty() && report.skipped.is_empty(), "{report}");
    assert_eq!(report.passed.len(), 23);
}

#[test]
fn the_node_says_that_its_money_is_play_money() {
    let bed = Bed::new();
    let info = now(bed.alice.info()).unwrap();
    assert!(info.play_money && info.network == Network::Regtest);
    assert!(info.to_string().starts_with("alice (regtest, play money, 0"), "{info}");
    assert!(format!("{:?} {:?}", bed.network, bed.alice).contains("play money"));
}

#[test]
fn fees_leave_the_payer_and_nobody_else() {
    let bed = Bed::new();
    let fee = Msat(1_100);
    assert!(matches!(bed.pay(&bed.invoice()), Ok(PaymentState::Succeeded { fee: paid, .. }) if paid == fee));
    assert_eq!(bed.alice_has().spendable, Msat(FUNDS.0 - AMOUNT.0 - fee.0));
    bed.network.check().unwrap();
}

#[test]
fn a_payment_that_fails_on_demand_leaves_the_money() {
    let bed = Bed::new();
    bed.alice.inject(Fault::FailPayment);
    let failed = PaymentState::Failed { reason: FailureReason::NoRoute };
    assert_eq!(bed.pay(&bed.invoice()), Ok(failed));
    assert_eq!(bed.alice_has(), NodeBalance { spendable: FUNDS, in_flight: Msat::ZERO });
}

#[test]
fn a_stuck_payment_can_still_fail() {
    let bed = Bed::new();
    let invoice = bed.invoice();
    bed.alice.inject(Fault::HangPayment { for_ms: 5_000, then: HangEnd::Failed });
    assert_eq!(bed.pay(&invoice), Ok(PaymentState::Unknown));
    bed.wait(4_999);
    assert_eq!(bed.payment(&invoice), PaymentState::Unknown);
    bed.wait(1);
    assert_eq!(bed.payment(&invoice), PaymentState::Failed { reason: FailureReason::NoRoute });
    assert_eq!(bed.alice_has().spendable, FUNDS);
}

#[test]
fn a_stuck_payment_that_arrives_after_the_expiry_is_refused() {
    let bed = Bed::new();
    let invoice = bed.invoice();
    bed.alice.inject(Fault::HangPayment { for_ms: 90_000, then: HangEnd::Delivered });
    bed.pay(&invoice).unwrap();
    bed.wait(90_000);
    assert_eq!(bed.payment(&invoice), PaymentState::Failed { reason: FailureReason::Rejected });
    assert_eq!(now(bed.bob.invoice(invoice.payment_hash)).unwrap(), Some(InvoiceState::Expired));
}

#[test]
fn a_lost_answer_is_found_again_by_its_hash() {
    let bed = Bed::new();
    let invoice = bed.invoice();
    bed.alice.inject(Fault::LoseAnswer);
    assert!(matches!(bed.pay(&invoice), Err(PayError::Unavailable(_))));
    assert!(matches!(bed.payment(&invoice), PaymentState::Succeeded { .. }));
}

#[test]
fn a_late_success_is_in_flight_until_it_is_reported() {
    let bed = Bed::new();
    let invoice = bed.invoice();
    bed.alice.inject(Fault::SettleLate { by_ms: 3_000 });
    assert_eq!(bed.pay(&invoice), Ok(PaymentState::InFlight));
    assert!(matches!(now(bed.bob.invoice(invoice.payment_hash)).unwrap(), Some(InvoiceState::Paid { .. })));
    bed.network.check().unwrap();
    assert_eq!(bed.network.next_deadline(), Some(TimeMs(START + 3_000)));
    bed.wait(3_000);
    assert!(matches!(bed.payment(&invoice), PaymentState::Succeeded { .. }));
}

#[test]
fn events_come_twice_or_never_when_told_to() {
    let bed = Bed::new();
    bed.bob.inject(Fault::DuplicateEvent);
    bed.alice.inject(Fault::LoseEvent);
    let invoice = bed.invoice();
    bed.pay(&invoice).unwrap();
    let paid = NodeEvent::InvoicePaid { payment_hash: invoice.payment_hash, amount: AMOUNT };
    let all = now(bed.bob.events(EventCursor::default(), 10)).unwrap();
    assert_eq!(all, [(EventCursor(1), paid), (EventCursor(2), paid)]);
    assert_eq!(now(bed.bob.events(EventCursor(1), 10)).unwrap(), all[1..]);
    assert_eq!(now(bed.bob.events(EventCursor(u64::MAX), 10)).unwrap(), []);
    assert_eq!(now(bed.alice.events(EventCursor::default(), 10)).unwrap(), []);
}

#[test]
fn nobody_pays_himself_or_a_stranger_or_more_than_he_has() {
    let bed = Bed::new();
    let own = now(bed.alice.create_invoice(request())).unwrap();
    assert_eq!(bed.pay(&own), Ok(PaymentState::Failed { reason: FailureReason::NoRoute }));
    let stranger = Bed::seeded([8; 32]).invoice();
    assert_eq!(bed.pay(&stranger), Ok(PaymentState::Failed { reason: FailureReason::NoRoute }));
    let broke = now(bed.bob.pay(to_pay(&own)));
    assert_eq!(broke, Ok(PaymentState::Failed { reason: FailureReason::InsufficientBalance }));
}

#[test]
fn impossible_invoices_and_too_much_play_money_are_refused() {
    let bed = Bed::new();
    let make = |change: fn(&mut InvoiceRequest)| {
        let mut request = request();
        change(&mut request);
        now(bed.bob.create_invoice(request))
    };
    assert!(make(|r| r.description = "x".repeat(640)).is_ok(), "it commits to the digest");
    assert!(matches!(make(|r| r.amount = Msat(u64::MAX)), Err(InvoiceError::BadRequest(_))));
    assert!(matches!(make(|r| r.expires_in_ms = u64::MAX), Err(InvoiceError::BadRequest(_))));
    let hold = now(bed.bob.create_hold_invoice(PaymentHash([1; 32]), u64::MAX, request()));
    assert!(matches!(hold, Err(InvoiceError::BadRequest(_))));
    assert_eq!(bed.network.issue(&bed.bob, Msat::MAX), Err(IssueError));
}

#[test]
fn a_saved_network_goes_on_where_it_was() {
    let bed = Bed::new();
    let secret = Preimage([9; 32]);
    let invoice = now(bed.bob.create_hold_invoice(secret.payment_hash(), 60_000, request())).unwrap();
    bed.pay(&invoice).unwrap();
    let json = serde_json::to_string(&bed.network.save()).unwrap();
    let restored = DevNetwork::restore(serde_json::from_str(&json).unwrap(), clock(&bed.time));
    assert_eq!(restored.save(), bed.network.save());
    now(restored.node("bob").settle(secret)).unwrap();
    assert_eq!(now(restored.node("bob").balance()).unwrap().spendable, AMOUNT);
    restored.check().unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Invoice,
    Hold,
    Pay(usize),
    Settle(usize),
    Cancel(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Invoice),
        2 => Just(Step::Hold),
        5 => (0usize..20).prop_map(Step::Pay),
        2 => (0usize..20).prop_map(Step::Settle),
        1 => (0usize..20).prop_map(Step::Cancel),
        2 => (0u64..40_000).prop_map(Step::Wait),
    ]
}

/// Carries out the steps and returns what was seen on the way.
fn walk(bed: &Bed, steps: &[Step]) -> Vec<String> {
    let mut invoices: Vec<(Invoice, Preimage)> = Vec::new();
    let mut seen = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let secret = Preimage([number as u8; 32]);
        let one = |index: &usize| invoices.get(*index);
        seen.push(match step {
            Step::Invoice => {
                invoices.push((bed.invoice(), secret));
                String::new()
            }
            Step::Hold => {
                let made = now(bed.bob.create_hold_invoice(secret.payment_hash(), 30_000, request()));
                invoices.push((made.unwrap(), secret));
                String::new()
            }
            Step::Pay(index) => format!("{:?}", one(index).map(|(invoice, _)| bed.pay(invoice))),
            Step::Settle(index) => {
                format!("{:?}", one(index).map(|(_, secret)| now(bed.bob.settle(*secret))))
            }
            Step::Cancel(index) => {
                format!("{:?}", one(index).map(|(invoice, _)| now(bed.bob.cancel(invoice.payment_hash))))
            }
            Step::Wait(ms) => {
                bed.wait(*ms);
                String::new()
            }
        });
        bed.network.check().unwrap();
    }
    // In the end everything is decided, and both sides agree on every payment.
    bed.wait(10_000_000);
    assert_eq!(bed.alice_has().in_flight, Msat::ZERO);
    let mut arrived = 0;
    for (invoice, _) in &invoices {
        let paid = matches!(now(bed.bob.invoice(invoice.payment_hash)), Ok(Some(InvoiceState::Paid { .. })));
        let sent = now(bed.alice.payment(invoice.payment_hash)).unwrap();
        assert_eq!(paid, matches!(sent, Some(PaymentState::Succeeded { .. })));
        arrived += u64::from(paid);
    }
    assert_eq!(now(bed.bob.balance()).unwrap().spendable.0, arrived * AMOUNT.0);
    bed.network.check().unwrap();
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn in_chaos_no_msat_is_lost_and_the_seed_decides_everything(
        steps in prop::collection::vec(step(), 1..60), seed in any::<[u8; 32]>(),
    ) {
        let chaos = Chaos {
            fail_payment_ppm: 100_000,
            hang_payment_ppm: 300_000,
            lose_answer_ppm: 100_000,
            settle_late_ppm: 300_000,
            duplicate_event_ppm: 200_000,
            lose_event_ppm: 200_000,
            delay_max_ms: 90_000,
        };
        let [first, second] = [Bed::seeded(seed), Bed::seeded(seed)];
        first.network.set_chaos(chaos);
        second.network.set_chaos(chaos);
        prop_assert_eq!(walk(&first, &steps), walk(&second, &steps));
        prop_assert_eq!(first.network.save(), second.network.save());
    }
}
