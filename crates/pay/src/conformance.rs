//! The checks that every [`LightningNode`] has to pass.
//!
//! [`run`] asks for a fresh [`Testbed`] for each check: a payer with money, a payee, and a way between them. The checks
//! look at states only, and wait by letting the testbed's time pass, so that they fit a node in this process as well as
//! one on regtest whose testbed mines blocks.

use crate::node::{
    CancelError, EventCursor, FailureReason, Invoice, InvoiceError, InvoiceRequest, InvoiceState,
    LightningNode, NodeBalance, NodeEvent, NodeFuture, PayError, PayRequest, PaymentState, Preimage,
    SettleError, Unavailable,
};
use market::{id::PaymentHash, units::Msat};
use std::{fmt, pin::Pin};

/// What each payment of the checks is about.
const AMOUNT: Msat = Msat(1_000_000);
/// More than any route of a testbed may cost.
const MAX_FEE: Msat = Msat(100_000);
/// How long the checks' invoices are open and their payments held.
const MINUTE_MS: u64 = 60_000;
/// How often a check looks for what has to happen before it gives up.
const LOOKS_MAX: u32 = 100;

/// Two nodes to try things on.
pub trait Testbed: Send + Sync {
    /// A node that can spend at least 10 000 sat.
    fn payer(&self) -> &dyn LightningNode;
    /// A node that the payer can reach.
    fn payee(&self) -> &dyn LightningNode;
    /// Lets time pass for both, at least this long.
    fn pass_time(&self, ms: u64) -> NodeFuture<'_, (), Unavailable>;
    /// Makes the next payment's outcome unknown for this long, after which it arrives. `false` where the testbed cannot;
    /// then the checks of unknown payments are skipped, and the report says so.
    fn hang_next_payment(&self, for_ms: u64) -> bool;
    /// Makes the payee unreachable for the next payment, or reachable again. `false` where the testbed cannot, as above.
    fn set_payee_reachable(&self, is_reachable: bool) -> NodeFuture<'_, bool, Unavailable>;
    /// Stops both nodes and starts them from what they wrote down. `false` where the testbed cannot, as above.
    fn restart(&self) -> NodeFuture<'_, bool, Unavailable>;
    /// A secret that no invoice was made on before. Fresh testbeds can give the same one each time.
    fn secret(&self) -> Preimage {
        Preimage([0x5e; 32])
    }
    /// How long an invoice is open, or a payment held, in checks that let it run out. Where time is real it is short.
    fn moment_ms(&self) -> u64 {
        MINUTE_MS
    }
    /// What the payer learns when a hold expires. On the real network the payee's answer is the same as when it cancels.
    fn reason_of_expiry(&self) -> FailureReason {
        FailureReason::TimedOut
    }
}

/// What the suite found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The checks that passed.
    pub passed: Vec<&'static str>,
    /// The checks that the testbed could not set up.
    pub skipped: Vec<&'static str>,
    /// The checks that failed, and what was seen.
    pub failed: Vec<(&'static str, String)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, skipped, failed) = (self.passed.len(), self.skipped.len(), self.failed.len());
        write!(f, "{passed} passed, {skipped} skipped, {failed} failed")?;
        self.skipped.iter().try_for_each(|name| write!(f, "\nskipped {name}"))?;
        self.failed.iter().try_for_each(|(name, seen)| write!(f, "\nfailed {name}: {seen}"))
    }
}

/// How a check ends early.
enum Stop {
    Skip,
    Fail(String),
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Fail(format!("unexpected error: {error}"))
    }
}

type Outcome = Result<(), Stop>;
type Check = for<'a> fn(&'a dyn Testbed) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Runs every check, each on a testbed of its own.
pub async fn run<T: Testbed>(testbed: impl AsyncFn() -> T) -> Report {
    let mut report = Report::default();
    for (name, check) in CHECKS {
        match check(&testbed().await).await {
            Ok(()) => report.passed.push(name),
            Err(Stop::Skip) => report.skipped.push(name),
            Err(Stop::Fail(seen)) => report.failed.push((name, seen)),
        }
    }
    report
}

macro_rules! checks {
    ($($name:ident,)*) => {
        const CHECKS: &[(&str, Check)] = &[$((stringify!($name), |testbed| Box::pin($name(testbed)))),*];
    };
}

checks! {
    a_payment_arrives_and_is_proven,
    paying_twice_pays_once,
    an_amount_that_differs_is_refused,
    an_expired_invoice_is_not_paid,
    a_fee_above_the_limit_fails,
    a_cancelled_invoice_is_not_paid,
    what_is_not_an_invoice_is_refused,
    a_hash_serves_one_invoice,
    a_held_payment_is_neither_spendable_nor_arrived,
    settling_takes_what_is_held,
    a_wrong_preimage_settles_nothing,
    nothing_is_settled_before_it_is_paid,
    cancelling_gives_back_what_is_held,
    what_is_settled_cannot_be_cancelled,
    a_hold_expires_by_itself,
    a_failed_payment_can_be_tried_again,
    an_unknown_payment_is_not_paid_again,
    an_unreachable_payee_costs_nothing,
    a_hold_outlives_a_restart,
    amounts_have_limits,
    nobody_knows_what_was_never_made,
    events_lead_to_the_states,
    events_can_be_read_again,
}

fn expect(holds: bool, seen: impl fmt::Debug) -> Outcome {
    if holds { Ok(()) } else { Err(Stop::Fail(format!("{seen:?}"))) }
}

fn request(amount: Msat) -> InvoiceRequest {
    InvoiceRequest { amount, description: "conformance".to_owned(), expires_in_ms: MINUTE_MS }
}

/// An invoice that runs out within the check.
fn brief(testbed: &dyn Testbed) -> InvoiceRequest {
    InvoiceRequest { expires_in_ms: testbed.moment_ms(), ..request(AMOUNT) }
}

fn to_pay(invoice: &Invoice) -> PayRequest {
    PayRequest { bolt11: invoice.bolt11.clone(), amount: AMOUNT, max_fee: MAX_FEE }
}

async fn open_invoice(testbed: &dyn Testbed) -> Result<Invoice, InvoiceError> {
    testbed.payee().create_invoice(request(AMOUNT)).await
}

/// An invoice whose payment the payee holds, and its secret.
async fn held_invoice(testbed: &dyn Testbed) -> Result<(Invoice, Preimage), Stop> {
    held_for(testbed, MINUTE_MS).await
}

async fn held_for(testbed: &dyn Testbed, hold_ms: u64) -> Result<(Invoice, Preimage), Stop> {
    let secret = testbed.secret();
    let hash = secret.payment_hash();
    let invoice = testbed.payee().create_hold_invoice(hash, hold_ms, request(AMOUNT)).await?;
    let state = testbed.payer().pay(to_pay(&invoice)).await?;
    expect(matches!(state, PaymentState::InFlight | PaymentState::Unknown), state)?;
    let state = wait_for_invoice(testbed, hash, |state| matches!(state, InvoiceState::Held { .. })).await?;
    expect(matches!(state, InvoiceState::Held { .. }), state)?;
    Ok((invoice, secret))
}

/// Ends a hold: where checks share a testbed, one that ran out later would disturb another.
async fn give_back(testbed: &dyn Testbed, invoice: &Invoice) -> Outcome {
    testbed.payee().cancel(invoice.payment_hash).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(matches!(state, PaymentState::Failed { .. }), state)
}

/// Looks at a payment until it is decided.
async fn decided(testbed: &dyn Testbed, hash: PaymentHash) -> Result<PaymentState, Stop> {
    for _ in 0..LOOKS_MAX {
        match testbed.payer().payment(hash).await? {
            Some(state @ (PaymentState::Succeeded { .. } | PaymentState::Failed { .. })) => return Ok(state),
            Some(PaymentState::InFlight | PaymentState::Unknown) => testbed.pass_time(100).await?,
            None => return Err(Stop::Fail("the payer does not know the payment".to_owned())),
        }
    }
    Err(Stop::Fail("the payment is never decided".to_owned()))
}

async fn wait_for_invoice(
    testbed: &dyn Testbed,
    hash: PaymentHash,
    good: fn(&InvoiceState) -> bool,
) -> Result<InvoiceState, Stop> {
    for _ in 0..LOOKS_MAX {
        match testbed.payee().invoice(hash).await? {
            Some(state) if good(&state) => return Ok(state),
            Some(_) => testbed.pass_time(100).await?,
            None => return Err(Stop::Fail("the payee does not know the invoice".to_owned())),
        }
    }
    Err(Stop::Fail("the invoice never gets there".to_owned()))
}

async fn spendable(node: &dyn LightningNode) -> Result<u64, Unavailable> {
    Ok(node.balance().await?.spendable.0)
}

/// Real channels agree on a new balance a moment after the payment is decided.
async fn ends_with(testbed: &dyn Testbed, node: &dyn LightningNode, wanted: NodeBalance) -> Outcome {
    for _ in 0..LOOKS_MAX {
        if node.balance().await? == wanted {
            return Ok(());
        }
        testbed.pass_time(100).await?;
    }
    Err(Stop::Fail(format!("{:?} instead of {wanted:?}", node.balance().await?)))
}

/// What the payee has once `came` has arrived.
fn with(had: NodeBalance, came: Msat) -> NodeBalance {
    NodeBalance { spendable: Msat(had.spendable.0 + came.0), ..had }
}

async fn a_payment_arrives_and_is_proven(testbed: &dyn Testbed) -> Outcome {
    let (payer_had, payee_had) = (spendable(testbed.payer()).await?, testbed.payee().balance().await?);
    let invoice = open_invoice(testbed).await?;
    testbed.payer().pay(to_pay(&invoice)).await?;
    match decided(testbed, invoice.payment_hash).await? {
        PaymentState::Succeeded { preimage, fee } => {
            expect(preimage.payment_hash() == invoice.payment_hash, "a preimage of another hash")?;
            expect(fee <= MAX_FEE, fee)?;
            let paid = payer_had - spendable(testbed.payer()).await?;
            expect(paid == AMOUNT.0 + fee.0, format!("{paid} msat left the payer"))?;
        }
        other => return Err(Stop::Fail(format!("{other:?}"))),
    }
    let state = wait_for_invoice(testbed, invoice.payment_hash, |state| *state != InvoiceState::Open).await?;
    expect(matches!(state, InvoiceState::Paid { .. }), state)?;
    ends_with(testbed, testbed.payee(), with(payee_had, AMOUNT)).await
}

async fn paying_twice_pays_once(testbed: &dyn Testbed) -> Outcome {
    let invoice = testbed.payee().create_invoice(brief(testbed)).await?;
    testbed.payer().pay(to_pay(&invoice)).await?;
    let first = decided(testbed, invoice.payment_hash).await?;
    let left = spendable(testbed.payer()).await?;
    let second = testbed.payer().pay(to_pay(&invoice)).await?;
    expect(second == first, second)?;
    expect(spendable(testbed.payer()).await? == left, "the second payment cost money")?;
    // A caller that lost the answer may ask again after the invoice has expired.
    testbed.pass_time(2 * testbed.moment_ms()).await?;
    let late = testbed.payer().pay(to_pay(&invoice)).await?;
    expect(late == first, late)
}

async fn an_amount_that_differs_is_refused(testbed: &dyn Testbed) -> Outcome {
    let invoice = open_invoice(testbed).await?;
    for asked in [Msat(AMOUNT.0 - 1), Msat(AMOUNT.0 + 1)] {
        let refused = testbed.payer().pay(PayRequest { amount: asked, ..to_pay(&invoice) }).await;
        expect(refused == Err(PayError::AmountMismatch { invoice: AMOUNT, asked }), refused)?;
    }
    let payment = testbed.payer().payment(invoice.payment_hash).await?;
    expect(payment.is_none(), payment)
}

async fn an_expired_invoice_is_not_paid(testbed: &dyn Testbed) -> Outcome {
    let invoice = testbed.payee().create_invoice(brief(testbed)).await?;
    testbed.pass_time(2 * testbed.moment_ms()).await?;
    let refused = testbed.payer().pay(to_pay(&invoice)).await;
    expect(refused == Err(PayError::Expired), refused)?;
    let state = wait_for_invoice(testbed, invoice.payment_hash, |state| *state != InvoiceState::Open).await?;
    expect(state == InvoiceState::Expired, state)
}

async fn a_fee_above_the_limit_fails(testbed: &dyn Testbed) -> Outcome {
    let had = testbed.payer().balance().await?;
    let invoice = open_invoice(testbed).await?;
    testbed.payer().pay(PayRequest { max_fee: Msat::ZERO, ..to_pay(&invoice) }).await?;
    match decided(testbed, invoice.payment_hash).await? {
        PaymentState::Failed { .. } => ends_with(testbed, testbed.payer(), had).await,
        PaymentState::Succeeded { fee, .. } => expect(fee == Msat::ZERO, fee),
        other => Err(Stop::Fail(format!("{other:?}"))),
    }
}

async fn a_cancelled_invoice_is_not_paid(testbed: &dyn Testbed) -> Outcome {
    let had = testbed.payer().balance().await?;
    let invoice = open_invoice(testbed).await?;
    testbed.payee().cancel(invoice.payment_hash).await?;
    testbed.payee().cancel(invoice.payment_hash).await?;
    testbed.payer().pay(to_pay(&invoice)).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(state == PaymentState::Failed { reason: FailureReason::Rejected }, state)?;
    let state = testbed.payee().invoice(invoice.payment_hash).await?;
    expect(state == Some(InvoiceState::Cancelled), state)?;
    ends_with(testbed, testbed.payer(), had).await
}

async fn what_is_not_an_invoice_is_refused(testbed: &dyn Testbed) -> Outcome {
    let invoice = open_invoice(testbed).await?;
    let cut = invoice.bolt11[..invoice.bolt11.len() - 1].to_owned();
    for bolt11 in [String::new(), "lightning".to_owned(), cut] {
        let refused = testbed.payer().pay(PayRequest { bolt11, ..to_pay(&invoice) }).await;
        expect(matches!(refused, Err(PayError::BadInvoice(_))), refused)?;
    }
    let nothing = testbed.payee().create_invoice(request(Msat::ZERO)).await;
    expect(matches!(nothing, Err(InvoiceError::BadRequest(_))), nothing)
}

async fn a_hash_serves_one_invoice(testbed: &dyn Testbed) -> Outcome {
    let hash = testbed.secret().payment_hash();
    testbed.payee().create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await?;
    let again = testbed.payee().create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await;
    expect(again == Err(InvoiceError::HashInUse(hash)), again)
}

async fn a_held_payment_is_neither_spendable_nor_arrived(testbed: &dyn Testbed) -> Outcome {
    let (payer_had, payee_had) = (spendable(testbed.payer()).await?, spendable(testbed.payee()).await?);
    let (invoice, _) = held_invoice(testbed).await?;
    let balance = testbed.payer().balance().await?;
    expect(balance.in_flight >= AMOUNT, balance)?;
    expect(balance.spendable.0 + balance.in_flight.0 == payer_had, balance)?;
    expect(spendable(testbed.payee()).await? == payee_had, "the payee can spend what it holds")?;
    let again = testbed.payer().pay(to_pay(&invoice)).await?;
    expect(again == PaymentState::InFlight, again)?;
    let after = testbed.payer().balance().await?;
    expect(after == balance, after)?;
    give_back(testbed, &invoice).await
}

async fn settling_takes_what_is_held(testbed: &dyn Testbed) -> Outcome {
    let had = testbed.payee().balance().await?;
    let (invoice, secret) = held_invoice(testbed).await?;
    let left = spendable(testbed.payer()).await?;
    testbed.payee().settle(secret).await?;
    testbed.payee().settle(secret).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(matches!(state, PaymentState::Succeeded { preimage, .. } if preimage == secret), state)?;
    let state = testbed.payee().invoice(invoice.payment_hash).await?;
    expect(state == Some(InvoiceState::Paid { preimage: secret }), state)?;
    ends_with(testbed, testbed.payee(), with(had, AMOUNT)).await?;
    let wanted = NodeBalance { spendable: Msat(left), in_flight: Msat::ZERO };
    ends_with(testbed, testbed.payer(), wanted).await
}

async fn a_wrong_preimage_settles_nothing(testbed: &dyn Testbed) -> Outcome {
    let (invoice, _) = held_invoice(testbed).await?;
    let wrong = Preimage([0xbd; 32]);
    let refused = testbed.payee().settle(wrong).await;
    expect(refused == Err(SettleError::WrongPreimage(wrong.payment_hash())), refused)?;
    let state = testbed.payee().invoice(invoice.payment_hash).await?;
    expect(matches!(state, Some(InvoiceState::Held { .. })), state)?;
    give_back(testbed, &invoice).await
}

async fn nothing_is_settled_before_it_is_paid(testbed: &dyn Testbed) -> Outcome {
    let secret = testbed.secret();
    let hash = secret.payment_hash();
    testbed.payee().create_hold_invoice(hash, MINUTE_MS, request(AMOUNT)).await?;
    let refused = testbed.payee().settle(secret).await;
    expect(refused == Err(SettleError::NotPaidYet(hash)), refused)
}

async fn cancelling_gives_back_what_is_held(testbed: &dyn Testbed) -> Outcome {
    let had = testbed.payer().balance().await?;
    let (invoice, secret) = held_invoice(testbed).await?;
    testbed.payee().cancel(invoice.payment_hash).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(state == PaymentState::Failed { reason: FailureReason::Rejected }, state)?;
    ends_with(testbed, testbed.payer(), had).await?;
    let late = testbed.payee().settle(secret).await;
    expect(late == Err(SettleError::WentBack(invoice.payment_hash)), late)
}

async fn what_is_settled_cannot_be_cancelled(testbed: &dyn Testbed) -> Outcome {
    let (invoice, secret) = held_invoice(testbed).await?;
    testbed.payee().settle(secret).await?;
    let refused = testbed.payee().cancel(invoice.payment_hash).await;
    expect(refused == Err(CancelError::AlreadySettled(invoice.payment_hash)), refused)
}

async fn a_hold_expires_by_itself(testbed: &dyn Testbed) -> Outcome {
    let had = testbed.payer().balance().await?;
    let (invoice, secret) = held_for(testbed, testbed.moment_ms()).await?;
    testbed.pass_time(2 * testbed.moment_ms()).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(state == PaymentState::Failed { reason: testbed.reason_of_expiry() }, state)?;
    ends_with(testbed, testbed.payer(), had).await?;
    let late = testbed.payee().settle(secret).await;
    expect(late == Err(SettleError::WentBack(invoice.payment_hash)), late)?;
    let state = testbed.payee().invoice(invoice.payment_hash).await?;
    expect(state == Some(InvoiceState::Expired), state)
}

async fn a_failed_payment_can_be_tried_again(testbed: &dyn Testbed) -> Outcome {
    let invoice = open_invoice(testbed).await?;
    testbed.payer().pay(PayRequest { max_fee: Msat::ZERO, ..to_pay(&invoice) }).await?;
    if let PaymentState::Succeeded { .. } = decided(testbed, invoice.payment_hash).await? {
        // A testbed without fees cannot make this payment fail.
        return Err(Stop::Skip);
    }
    testbed.payer().pay(to_pay(&invoice)).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(matches!(state, PaymentState::Succeeded { .. }), state)
}

async fn an_unknown_payment_is_not_paid_again(testbed: &dyn Testbed) -> Outcome {
    let hangs_for_ms = testbed.moment_ms() / 2;
    let had = testbed.payee().balance().await?;
    let invoice = open_invoice(testbed).await?;
    if !testbed.hang_next_payment(hangs_for_ms) {
        return Err(Stop::Skip);
    }
    // A node that has sent it itself calls it in flight; neither is decided.
    let is_open = |state| matches!(state, PaymentState::Unknown | PaymentState::InFlight);
    let state = testbed.payer().pay(to_pay(&invoice)).await?;
    expect(is_open(state), state)?;
    let balance = testbed.payer().balance().await?;
    expect(balance.in_flight >= AMOUNT, balance)?;
    let again = testbed.payer().pay(to_pay(&invoice)).await?;
    expect(again == state, again)?;
    expect(testbed.payer().balance().await? == balance, "the second payment cost money")?;
    testbed.pass_time(hangs_for_ms).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(matches!(state, PaymentState::Succeeded { .. }), state)?;
    ends_with(testbed, testbed.payee(), with(had, AMOUNT)).await
}

async fn an_unreachable_payee_costs_nothing(testbed: &dyn Testbed) -> Outcome {
    let had = testbed.payer().balance().await?;
    let invoice = open_invoice(testbed).await?;
    if !testbed.set_payee_reachable(false).await? {
        return Err(Stop::Skip);
    }
    testbed.payer().pay(to_pay(&invoice)).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    testbed.set_payee_reachable(true).await?;
    expect(state == PaymentState::Failed { reason: FailureReason::NoRoute }, state)?;
    ends_with(testbed, testbed.payer(), had).await?;
    testbed.payer().pay(to_pay(&invoice)).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(matches!(state, PaymentState::Succeeded { .. }), state)
}

async fn a_hold_outlives_a_restart(testbed: &dyn Testbed) -> Outcome {
    let had = testbed.payee().balance().await?;
    let (invoice, secret) = held_invoice(testbed).await?;
    if !testbed.restart().await? {
        return Err(Stop::Skip);
    }
    let state = testbed.payee().invoice(invoice.payment_hash).await?;
    expect(matches!(state, Some(InvoiceState::Held { .. })), state)?;
    let state = testbed.payer().pay(to_pay(&invoice)).await?;
    expect(matches!(state, PaymentState::InFlight | PaymentState::Unknown), state)?;
    testbed.payee().settle(secret).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(matches!(state, PaymentState::Succeeded { preimage, .. } if preimage == secret), state)?;
    ends_with(testbed, testbed.payee(), with(had, AMOUNT)).await
}

async fn amounts_have_limits(testbed: &dyn Testbed) -> Outcome {
    let had = testbed.payer().balance().await?;
    let too_much = Msat(had.spendable.0 + 1);
    let invoice = testbed.payee().create_invoice(request(too_much)).await?;
    testbed.payer().pay(PayRequest { amount: too_much, ..to_pay(&invoice) }).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(state == PaymentState::Failed { reason: FailureReason::InsufficientBalance }, state)?;
    ends_with(testbed, testbed.payer(), had).await?;
    // A satoshi is less than the chain can carry, and still arrives.
    let little = Msat(1_000);
    let invoice = testbed.payee().create_invoice(request(little)).await?;
    testbed.payer().pay(PayRequest { amount: little, ..to_pay(&invoice) }).await?;
    let state = decided(testbed, invoice.payment_hash).await?;
    expect(matches!(state, PaymentState::Succeeded { .. }), state)
}

async fn nobody_knows_what_was_never_made(testbed: &dyn Testbed) -> Outcome {
    let hash = testbed.secret().payment_hash();
    let (payment, invoice) = (testbed.payer().payment(hash).await?, testbed.payee().invoice(hash).await?);
    expect(payment.is_none() && invoice.is_none(), (payment, invoice))?;
    let cancelled = testbed.payee().cancel(hash).await;
    expect(cancelled == Err(CancelError::UnknownInvoice(hash)), cancelled)
}

async fn events_lead_to_the_states(testbed: &dyn Testbed) -> Outcome {
    let invoice = open_invoice(testbed).await?;
    testbed.payer().pay(to_pay(&invoice)).await?;
    decided(testbed, invoice.payment_hash).await?;
    wait_for_invoice(testbed, invoice.payment_hash, |state| matches!(state, InvoiceState::Paid { .. }))
        .await?;
    let paid = NodeEvent::InvoicePaid { payment_hash: invoice.payment_hash, amount: AMOUNT };
    for _ in 0..LOOKS_MAX {
        let events = all_events(testbed.payee(), 100).await?;
        if let Some((cursor, _)) = events.iter().find(|(_, event)| *event == paid) {
            let later = testbed.payee().events(*cursor, 100).await?;
            return expect(later.iter().all(|(after, _)| after > cursor), later);
        }
        testbed.pass_time(100).await?;
    }
    Err(Stop::Fail("no event says that the invoice was paid".to_owned()))
}

/// All events, asked for `limit` at a time.
async fn all_events(
    node: &dyn LightningNode,
    limit: usize,
) -> Result<Vec<(EventCursor, NodeEvent)>, Unavailable> {
    let mut events: Vec<(EventCursor, NodeEvent)> = Vec::new();
    loop {
        let after = events.last().map_or(EventCursor::default(), |(cursor, _)| *cursor);
        let more = node.events(after, limit).await?;
        if more.is_empty() {
            return Ok(events);
        }
        events.extend(more);
    }
}

async fn events_can_be_read_again(testbed: &dyn Testbed) -> Outcome {
    let (invoice, secret) = held_invoice(testbed).await?;
    testbed.payee().settle(secret).await?;
    decided(testbed, invoice.payment_hash).await?;
    wait_for_invoice(testbed, invoice.payment_hash, |state| matches!(state, InvoiceState::Paid { .. }))
        .await?;
    let all = all_events(testbed.payee(), 100).await?;
    let of_it: Vec<NodeEvent> = all
        .iter()
        .map(|(_, event)| *event)
        .filter(|event| match event {
            NodeEvent::InvoiceHeld { payment_hash, .. }
            | NodeEvent::InvoicePaid { payment_hash, .. }
            | NodeEvent::InvoiceClosed { payment_hash }
            | NodeEvent::PaymentSucceeded { payment_hash, .. }
            | NodeEvent::PaymentFailed { payment_hash, .. } => *payment_hash == invoice.payment_hash,
        })
        .collect();
    let payment_hash = invoice.payment_hash;
    let wanted = [
        NodeEvent::InvoiceHeld { payment_hash, amount: AMOUNT },
        NodeEvent::InvoicePaid { payment_hash, amount: AMOUNT },
    ];
    expect(of_it == wanted, of_it)?;
    expect(all.is_sorted_by(|a, b| a.0 < b.0), "cursors that do not rise")?;
    let in_pieces = all_events(testbed.payee(), 1).await?;
    expect(in_pieces == all, "events that change when they are read again")
}

#[cfg(test)]
mod tests;
