//! The fields of everything that travels.

use super::shape::{Schemas, Shape, enums, one_of, plain, structs, variants, with_field};
use crate::{
    api::{
        Accepted, AccountView, ApiError, AuctionDue, BlobStored, Board, BoardCounts, BoardJob, ClassScore,
        DevInvoice, DevPayment, HoldDue, HoldView, JobView, KeyView, LeaseResult, LeaseRight, LeaseView,
        MachineView, OfferView, PartyView, PlacedEvent, Quote, QuoteRequest, SaleView, TaskView, TokenGiven,
        TokenRequest, TokenView, TopupPhase, TopupView, VenueInfo, WithdrawalPhase, WithdrawalView,
        WorkAttempt, WorkAuction, WorkDue, WorkHold, WorkLease, WorkLeasePhase, WorkOutput, WorkView,
    },
    http::views::{InvoiceBody, PayBody, WalletBody},
};
use market::{
    engine::{
        explain::{
            Chance, Miss, OrderChance, Prices, Reason, ReasonCount, Survey, Taking, WhyIdle, WhyOrder,
        },
        state::JudgedAttempt,
    },
    event::{Event, Evidence, InconclusiveReason, JobOutcome, RejectReason, TaskOutcome, Verdict},
    funding::{EncryptedResult, Funding, HoldTerms, SalePrice, SaleTerms},
    id::{
        AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, OrderId, PartyId, PaymentHash, TopupId,
        WithdrawalId,
    },
    job::{InputFile, JobSpec, TaskLimits, Verification},
    key::{PublicKey, Signature},
    lease::{CloseReason, Settlement},
    log::{ConsistencyProof, Head, InclusionProof, SignedHead},
    name::Name,
    offer::{OfferRole, OfferTerms},
    order::{AuctionPrice, Needs, OrderKind, OrderTerms},
    preimage::Preimage,
    receipt::{HoldReceipt, LeaseReceipt, Receipt, ReceiptBody, SaleFate, SaleReceipt, TaskReceipt},
    rejection::Rejection,
    reply::{Grant, Item, Reply},
    resources::{Attributes, Gpus, Isolation, ResourceKind, Resources},
    statement::Statement,
    units::{Msat, Rate, TimeMs, Unit},
    verify::{Deterrence, Exit, Stakes, TaskResult},
};
use pay::{
    CancelError, EventCursor, FailureReason, Invoice, InvoiceError, InvoiceRequest, InvoiceState, Network,
    NodeBalance, NodeEvent, NodeInfo, PayError, PayRequest, PaymentState, SettleError, Unavailable,
    dev::{Answer, Call},
};
use std::collections::BTreeMap;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

structs! {
    Accepted { position: u64, reply: Reply, duplicate: bool, head: SignedHead }
    ApiError { code: String, message: String }
    VenueInfo {
        key: PublicKey, name: String, version: String, rules_version: u32, payments: String, network: Network,
        is_play_money: bool, has_faucet: bool, balance_cap_msat: Msat, claim_cost_msat: Msat, fee_ppm: u32, blob_max_bytes: u64, liabilities_msat: Msat, node_balance_msat: Msat,
        is_solvent: bool, operator_msat: Msat, owes_msat: Msat, now_ms: TimeMs, position: u64, head: SignedHead,
    }
    Statement { payload: String, key: PublicKey, signature: Signature }
    PlacedEvent { position: u64, index: u32, at_ms: TimeMs, event: Event }
    PayBody { bolt11: String }
    InvoiceBody { amount_msat: Msat }
    DevPayment { preimage: Option<Preimage> }
    DevInvoice { bolt11: String, payment_hash: PaymentHash, amount_msat: Msat }
    BlobStored { digest: Digest, bytes: u64 }
    WalletBody { wallet: Digest, call: Call }
    InvoiceRequest { amount: Msat, description: String, expires_in_ms: u64 }
    PayRequest { bolt11: String, amount: Msat, max_fee: Msat }
}

enums! {
    Call '_' {
        Info, CreateInvoice(InvoiceRequest),
        CreateHoldInvoice { payment_hash: PaymentHash, hold_ms: u64, request: InvoiceRequest }, Settle(Preimage),
        Cancel(PaymentHash), Invoice(PaymentHash), Pay(PayRequest), Payment(PaymentHash), Balance,
        Events { after: EventCursor, limit: usize },
    }
}

impl Shape for EventCursor {
    fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
        u64::shape(schemas)
    }
}

/// What a call at a node gave: `Ok` with what it is, or `Err` with why not.
impl<T: Shape, E> Shape for Result<T, E> {
    fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
        let error = plain(Type::Object, "why not").into();
        one_of(Vec::new(), vec![("Ok".into(), T::shape(schemas)), ("Err".into(), error)]).into()
    }
}

enums! {
    Answer '_' {
        Info(Result<NodeInfo, Unavailable>), Created(Result<Invoice, InvoiceError>), Settled(Result<(), SettleError>),
        Cancelled(Result<(), CancelError>), Invoice(Result<Option<InvoiceState>, Unavailable>),
        Paid(Result<PaymentState, PayError>), Payment(Result<Option<PaymentState>, Unavailable>),
        Balance(Result<NodeBalance, Unavailable>), Events(Result<Vec<(EventCursor, NodeEvent)>, Unavailable>),
    }
    Network '_' { Bitcoin, Testnet, Regtest, Simnet, Signet }
    InvoiceState '_' { Open, Held { until: TimeMs }, Paid { preimage: Preimage }, Cancelled, Expired }
    PaymentState '_' {
        InFlight, Succeeded { preimage: Preimage, fee: Msat }, Failed { reason: FailureReason }, Unknown,
    }
    FailureReason '_' { NoRoute, FeeTooHigh, InsufficientBalance, Rejected, TimedOut }
    NodeEvent '_' {
        InvoiceHeld { payment_hash: PaymentHash, amount: Msat }, InvoicePaid { payment_hash: PaymentHash, amount: Msat },
        InvoiceClosed { payment_hash: PaymentHash }, PaymentSucceeded { payment_hash: PaymentHash, fee: Msat },
        PaymentFailed { payment_hash: PaymentHash, reason: FailureReason },
    }
}

structs! {
    NodeInfo { id: String, alias: String, network: Network, play_money: bool }
    Invoice { bolt11: String, payment_hash: PaymentHash, expires_at: TimeMs }
    NodeBalance { spendable: Msat, in_flight: Msat }
}

// What is bought and sold.
structs! {
    Rate { msat: Msat, per: u64, unit: Unit }
    Gpus { model: Name, count: u32, memory_mib: u64 }
    Resources { cpu_milli: u64, memory_mib: u64, disk_mib: u64, upload_mbps: u64, gpus: Option<Gpus> }
    OfferTerms {
        role: OfferRole, rate: Rate, resources: Resources, isolation: Isolation, region: Name, class: Name,
        attributes: Attributes, lease_max_ms: u64,
        holds: Option<HoldTerms>, sales: Option<SaleTerms>,
    }
    OfferView {
        offer: OfferId, machine: MachineId, machine_label: String, party: PartyId, party_label: String,
        terms: OfferTerms, free: Resources, is_live: bool, reputation_ppm: u32, is_unvetted: bool, bond_msat: Msat,
    }
    MachineView {
        machine: MachineId, key: PublicKey, label: String, capacity: Resources, free: Resources, presence: String,
        offers: Vec<OfferId>, leases: Vec<LeaseId>,
    }
    Needs {
        resources: Resources, isolation: Isolation, region: Option<Name>, attributes: Attributes,
        min_reputation_ppm: u32, min_bond_msat: Msat,
    }
    OrderTerms {
        kind: OrderKind, slots: u32, ceiling: Rate, budget_msat: Msat, needs: Needs, lease_max_ms: u64,
        funding: Option<Funding>,
    }
    TaskLimits { memory_mib: u64, output_bytes: u64, fuel: u64, timeout_ms: u64 }
    InputFile { path: String, blob: Digest, bytes: u64 }
    JobSpec {
        name: String, profile: String, module: Digest, args: Vec<String>, env: BTreeMap<String, String>,
        stdin: Option<Digest>, inputs: Vec<InputFile>, tasks: u32, max_parallel: u32, retries: u8,
        duplicate_stragglers: bool, limits: TaskLimits, verification: Verification,
    }
    HoldTerms { slice_min_msat: Msat }
    SaleTerms { deposit_min_ppm: u32 }
    QuoteRequest { terms: OrderTerms, job: JobSpec }
    Quote {
        offers: Vec<OfferView>, matching: u32, asked_msat: Option<Msat>, task_msat: Option<Msat>,
        expected_msat: Option<Msat>, at_most_msat: Msat, deterrence: Deterrence, venue_owes_msat: Msat,
        mismatches: Vec<(String, u32)>,
    }
}

enums! {
    Unit '_' { Task, Ms, Fuel }
    OfferRole '_' { Work, Audit }
    Isolation '-' { Wasm, WasmConfined }
    ResourceKind '_' { Cpu, Memory, Disk, Upload, GpuModel, GpuCount, GpuMemory }
    AuctionPrice '_' { First, Second }
    OrderKind '_' { Ask, Auction { price: AuctionPrice, window_ms: u64, reveal_ms: u64 } }
    Funding '_' { Session { prepay_msat: Msat }, Hold { slice_msat: Msat, slices: u8 }, Decrypt { deposit_ppm: u32 } }
    Verification '_' { None, Replicas { k: u8, n: u8, named: Vec<PartyId> }, Audit { floor_ppm: u32 } }
}

// Jobs and how they go.
structs! {
    JobView {
        job: JobId, order: OrderId, terms: OrderTerms, spec: JobSpec, placed_at_ms: TimeMs, phase: String,
        outcome: Option<JobOutcome>, tasks_done: u32, tasks_failed: u32, running: u32, escrow_msat: Msat,
        paid_msat: Msat, refunded_msat: Option<Msat>, venue_paid_msat: Msat, leases: Vec<LeaseView>,
        round_waiting_for_buyer: Option<u32>, holds: Vec<HoldView>, session_needs_msat: Option<Msat>,
        sales: Vec<SaleView>,
    }
    SaleView {
        lease: LeaseId, attempt: AttemptId, task: u32, result: TaskResult, is_verified: bool, invoice_msat: Msat,
        deposit_msat: Msat, encrypted: EncryptedResult, invoice: String, until_ms: Option<TimeMs>, phase: String,
        preimage: Option<Preimage>,
    }
    EncryptedResult {
        payment_hash: PaymentHash, ciphertext: Digest, salt: Digest, signer: PublicKey, signature: Signature,
    }
    HoldView {
        lease: LeaseId, slice_msat: Msat, payment_hashes: Vec<PaymentHash>, invoices: Vec<String>, until_ms: TimeMs,
        phase: String, released: u8,
    }
    TaskView { task: u32, outcome: Option<TaskOutcome>, open_attempts: Vec<AttemptId>, failures: u8 }
    TaskResult { exit: Exit, output: Digest, fuel: u64 }
    Settlement {
        usage: u64, paid_msat: Msat, compensation_msat: Msat, clawed_back_msat: Msat, fee_msat: Msat, accepted: u32,
        wrong: u32, failed: u32, inconclusive: u32,
    }
    LeaseResult { task: u32, attempt: AttemptId, verdict: Verdict, result: Option<TaskResult>, paid_msat: Msat }
    TokenRequest { can: Vec<LeaseRight>, valid_until_ms: TimeMs }
    TokenGiven { token: String }
    TokenView {
        token_id: String, is_bought: bool, can: Vec<String>, valid_until_ms: TimeMs, lease: Option<LeaseId>,
        path: Option<String>, max_uses: Option<u32>,
    }
    LeaseView {
        lease: LeaseId, job: JobId, machine: MachineId, machine_label: String, party: PartyId, class: Name,
        rate: Rate, is_audit: bool, phase: String, reason: Option<CloseReason>, books: Settlement,
        deterrence: Deterrence,
    }
    Stakes {
        checked_ppm: u32, proven_ppm: u32, withheld_msat: Msat, bond_msat: Msat, gain_msat: Msat, loss_msat: Msat,
        cheating_pays: bool, colluding_below_ppm: u32, bond_needed_msat: Option<Msat>,
    }
    Board {
        position: u64, now_ms: TimeMs, counts: BoardCounts, offers: Vec<OfferView>, jobs: Vec<BoardJob>,
        leases: Vec<LeaseView>,
    }
    BoardCounts { parties: u64, machines: u64, offers: u64, open_jobs: u64, open_leases: u64 }
    BoardJob {
        job: JobId, name: String, buyer: PartyId, buyer_label: String, tasks: u32, tasks_done: u32,
        tasks_failed: u32, running: u32, phase: String, paid_msat: Msat,
    }
}

enums! {
    LeaseRight '_' { Status, Logs }
    JobOutcome '_' { Completed, Partial, Cancelled, OutOfFunds, NoBids }
    TaskOutcome '_' { Done { result: TaskResult, attempt: AttemptId }, Failed { attempts: u8 }, Cancelled }
    Exit '_' { Code(i32), Trap, OutOfFuel }
    CloseReason '_' { Finished, NeverStarted, Dismissed, Quit, Lost, Cheated, Expired, OutOfFunds }
    Deterrence '_' { Unverified, Settled, Stakes(Stakes) }
}

// The work of a machine.
structs! {
    WorkView {
        revision: u64, now_ms: TimeMs, leases: Vec<WorkLease>, attempts: Vec<WorkAttempt>,
        auctions: Vec<WorkAuction>, offers: Vec<(OfferId, OfferTerms)>, holds: Vec<WorkHold>,
        sales: Vec<AttemptId>,
    }
    WorkHold { lease: LeaseId, slice_msat: Msat, hashes: Vec<PaymentHash>, until_ms: TimeMs, due: HoldDue }
    WorkLease {
        lease: LeaseId, job: JobId, spec: JobSpec, rate: Rate, resources: Resources, phase: WorkLeasePhase,
        claimable: u32,
    }
    WorkAttempt { attempt: AttemptId, lease: LeaseId, task: u32, due: WorkDue, output: WorkOutput }
    WorkAuction {
        order: OrderId, offer: OfferId, terms: OrderTerms, tasks: u32, limits: TaskLimits, due: AuctionDue,
    }
}

enums! {
    HoldDue '_' { Invoice, Fund, Wait, Claim { preimages: Vec<Preimage>, by_ms: TimeMs } }
    WorkLeasePhase '_' { Unfunded, Granted { start_by_ms: TimeMs }, Running, Draining }
    SaleFate '_' { Sold, Unsold, Forged { preimage: Preimage, opened: Option<Digest> } }
    WorkOutput '_' { Upload, Keep, Sell { invoice_msat: Msat } }
    WorkDue '_' { Commit { by_ms: TimeMs }, Wait, Reveal { by_ms: TimeMs }, Judging }
    AuctionDue '_' { Bid { until_ms: TimeMs }, Wait, Reveal { until_ms: TimeMs } }
}

// Parties and their money.
structs! {
    PartyView {
        party: PartyId, key: PublicKey, label: String, is_operators: bool, bond_msat: Msat,
        reputation: Vec<ClassScore>,
    }
    ClassScore { class: Name, score_ppm: u32, is_unvetted: bool, valid_in_a_row: u32 }
    AccountView {
        party: PartyId, label: String, available_msat: Msat, pending_msat: Msat, withheld_msat: Msat,
        bond_msat: Msat, escrow_msat: Msat,
    }
    TopupView {
        topup: TopupId, amount_msat: Msat, bolt11: Option<String>, payment_hash: Option<PaymentHash>,
        expires_at_ms: Option<TimeMs>, phase: TopupPhase,
    }
    WithdrawalView { withdrawal: WithdrawalId, amount_msat: Msat, phase: WithdrawalPhase }
}

enums! {
    KeyView '_' { Party(PartyId), Machine { machine: MachineId, party: PartyId }, Retired }
    TopupPhase '_' { Requested, Invoiced, Received, Expired }
    WithdrawalPhase '_' { Pending, Unknown, Sent { fee_msat: Msat }, Failed { reason: String } }
}

// Proofs.
structs! {
    Head { size: u64, root: Digest }
    SignedHead { head: Head, at: TimeMs, venue: PublicKey, signature: Signature }
    InclusionProof { index: u64, size: u64, path: Vec<Digest> }
    ConsistencyProof { old: Head, new: Head, path: Vec<Digest> }
    Receipt { body: ReceiptBody, signature: Signature, leaf: String, inclusion: InclusionProof, head: SignedHead }
    ReceiptBody {
        v: u32, venue: PublicKey, job: JobId, order: OrderId, buyer: PartyId, name: String, spec: Digest,
        module: Digest, profile: String, verification: Verification, placed_at_ms: TimeMs, settled_at_ms: TimeMs,
        position: u64, rules_version: u32, outcome: JobOutcome, budget_msat: Msat, paid_msat: Msat,
        refunded_msat: Msat, leases: Vec<LeaseReceipt>, tasks: Vec<TaskReceipt>;
        venue_paid_msat: Msat, min_bond_msat: Option<Msat>, funding: Option<Funding>, funded_msat: Option<Msat>
    }
    LeaseReceipt {
        lease: LeaseId, machine: MachineId, party: PartyId, class: Name, rate: Rate, is_audit: bool,
        reason: CloseReason, books: Settlement; hold: Option<HoldReceipt>, sales: Vec<SaleReceipt>
    }
    SaleReceipt {
        attempt: AttemptId, task: u32, output: Digest, price: SalePrice, encrypted: EncryptedResult, fate: SaleFate,
    }
    SalePrice { price_msat: Msat, fee_msat: Msat, deposit_msat: Msat }
    HoldReceipt { slice_msat: Msat, funded_msat: Msat, payment_hashes: Vec<PaymentHash>, released: u8 }
    TaskReceipt { outcome: TaskOutcome, attempts: Vec<JudgedAttempt> }
    JudgedAttempt {
        attempt: AttemptId, lease: LeaseId, verdict: Verdict, result: Option<TaskResult>, paid_msat: Msat,
    }
    Evidence { claimed: Option<TaskResult>, agreed: TaskResult, by: Vec<AttemptId> }
}

enums! {
    Verdict '_' {
        Accepted { quality_ppm: u32, agreeing: u8, verified: bool },
        Rejected { reason: RejectReason, evidence: Option<Evidence> },
        Inconclusive { reason: InconclusiveReason },
    }
    RejectReason '_' { Wrong, Minority, NotRevealed, Late, LeaseCheated }
}

// Why not.
structs! {
    WhyOrder { order: OrderId, slots: u32, held_slots: u32, phase: Taking, survey: Survey }
    Survey { offers: u64, looked_at: u32, fit: u32, reasons: Vec<ReasonCount>, closest: Vec<Miss> }
    ReasonCount { code: String, offers: u32, example: Miss }
    Miss { offer: OfferId, reason: Reason }
    WhyIdle {
        offer: OfferId, asks: Rate, class: Name, machine: Option<Reason>, leases: u32, orders: Vec<OrderChance>,
        asked: Option<Prices>, paid: Option<Prices>,
    }
    OrderChance { order: OrderId, is_open: bool, chance: Chance }
    Prices { count: u32, lowest: Rate, lower_quartile: Rate, median: Rate, upper_quartile: Rate, highest: Rate }
}

enums! {
    Taking '_' { Bids, Reveals, Offers, Nothing }
    Chance '_' {
        Leased, Unfit(Reason), Bidding { until: TimeMs }, Outbid { wins_at: Option<Rate> }, NoWorkLeft, DrawnByLot,
    }
}

// Replies to statements.
structs! {
    Grant { attempt: AttemptId, task: u32, deadline_ms: TimeMs }
}

enums! {
    Reply '_' {
        Done, Party(PartyId), Machine(MachineId), TopUp(TopupId), Withdrawal(WithdrawalId), Offer(OfferId),
        Order { order: OrderId, job: JobId, leases: Vec<LeaseId> }, Claimed(Vec<Item<Vec<Grant>>>),
        Items(Vec<Item<()>>),
    }
}

impl<T: Shape> Shape for Item<T> {
    fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
        let done = ("done".to_owned(), T::shape(schemas));
        let refused = ("refused".to_owned(), Rejection::shape(schemas));
        one_of(Vec::new(), vec![done, refused]).into()
    }
}

/// Describes types whose many variants are for programs that know the crate `market`; others need the key alone.
macro_rules! described {
    ($($name:ident => $about:literal;)+) => {$(
        impl Shape for $name {
            fn shape(schemas: &mut Schemas) -> RefOr<Schema> {
                schemas.named(stringify!($name), |_| {
                    let words = plain(Type::String, "where there is nothing more to say");
                    let object = plain(Type::Object, "its one key says which; fields below it").max_properties(Some(1));
                    let choice = utoipa::openapi::OneOfBuilder::new().item(words).item(object);
                    choice.description(Some($about)).into()
                })
            }
        }
    )+};
}

described! {
    Event => "what happened, like `{\"lease_granted\": {…}}`; the crate `market`, module `event`, has all of them";
    Reason => "why something does not fit, like `{\"bond_too_small\": {…}}`; module `engine::explain`";
    Rejection => "why a statement was refused, like `{\"fenced\": {…}}`; module `rejection`";
    InconclusiveReason => "why an attempt has no verdict, like `\"machine_lost\"`; module `event`";
}
