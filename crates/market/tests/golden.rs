//! Statements decode for ever: every command of every version, as it was once signed, is kept in `golden/`.
//!
//! A new command adds lines (`GRIST_GOLDEN=write cargo test -p market --test golden`); a line that is there never changes.

#![expect(clippy::unwrap_used, reason = "a test")]

use market::{
    command::*,
    funding::{EncryptedResult, Funding, HoldTerms, SaleOffer, SaleTerms},
    id::*,
    job::{InputFile, JobSpec, TaskLimits, Verification},
    key::{SecretKey, Signature},
    log::Head,
    offer::{OfferRole, OfferTerms},
    order::{AuctionPrice, Needs, OrderKind, OrderTerms},
    preimage::Preimage,
    resources::{Gpus, Isolation, Resources},
    statement::{Payload, Statement},
    units::{Msat, Rate, TimeMs},
    verify::{Exit, TaskResult},
};
use std::{collections::BTreeMap, path::PathBuf};

fn resources() -> Resources {
    let gpus = Some(Gpus { model: "rtx-4090".parse().unwrap(), count: 1, memory_mib: 24_576 });
    Resources { cpu_milli: 8_000, memory_mib: 16_384, disk_mib: 1_000, upload_mbps: 40, gpus }
}

fn offer_terms() -> Box<OfferTerms> {
    Box::new(OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_giga_fuel(Msat(u64::from(u32::MAX))),
        resources: resources(),
        isolation: Isolation::WasmConfined,
        region: "eu-west".parse().unwrap(),
        class: "rtx-4090".parse().unwrap(),
        attributes: BTreeMap::from([("driver".parse().unwrap(), "560".parse().unwrap())]),
        lease_max_ms: 3_600_000,
        holds: None,
        sales: None,
    })
}

fn order_terms(kind: OrderKind) -> Box<OrderTerms> {
    Box::new(OrderTerms {
        kind,
        slots: 4,
        ceiling: Rate::per_hour(Msat(Msat::MAX.0)),
        budget_msat: Msat(Msat::MAX.0 - 1),
        needs: Needs {
            resources: resources(),
            isolation: Isolation::Wasm,
            region: Some("eu-west".parse().unwrap()),
            attributes: BTreeMap::new(),
            min_reputation_ppm: 250_000,
            min_bond_msat: Msat(1_000),
        },
        lease_max_ms: 60_000,
        funding: None,
    })
}

fn job(verification: Verification) -> Box<JobSpec> {
    Box::new(JobSpec {
        name: "turntable".into(),
        profile: "wasm-1".into(),
        module: Digest([1; 32]),
        args: vec!["--frame".into(), "{task}".into()],
        env: BTreeMap::from([("MODE".into(), "fast".into())]),
        stdin: Some(Digest([2; 32])),
        inputs: vec![InputFile { path: "mesh.obj".into(), blob: Digest([3; 32]), bytes: 1 << 60 }],
        tasks: 24,
        max_parallel: 8,
        retries: 3,
        duplicate_stragglers: true,
        limits: TaskLimits { memory_mib: 256, output_bytes: 1 << 20, fuel: u64::MAX, timeout_ms: 60_000 },
        verification,
    })
}

fn auction(price: AuctionPrice) -> OrderKind {
    OrderKind::Auction { price, window_ms: 2_000, reveal_ms: 1_000 }
}

fn link() -> AuditLink {
    AuditLink { job: JobId(1), round: 3, link: Digest([4; 32]) }
}

fn venue_commands() -> Vec<Command> {
    let attempt = AttemptId(5);
    vec![
        Command::TopUpInvoiced {
            topup: TopupId(1),
            bolt11: "lnbcrt1".into(),
            payment_hash: PaymentHash([5; 32]),
            expires_at_ms: TimeMs(2),
        },
        Command::TopUpOutcome { topup: TopupId(1), outcome: TopUpOutcome::Received { amount_msat: Msat(1) } },
        Command::TopUpOutcome { topup: TopupId(1), outcome: TopUpOutcome::Expired },
        Command::AnchorAudits { job: JobId(1), anchor: Digest([1; 32]) },
        Command::RevealVenueLink(link()),
        Command::Verdict { attempt, reason: "output lost".into(), evidence: Digest([2; 32]) },
        Command::Liveness { lost: vec![MachineId(1)], back: vec![MachineId(2)] },
        Command::Resume,
        Command::DeclareOwn { party: PartyId(1) },
        Command::ActivateRules { version: 2 },
        Command::Tick,
    ]
}

fn commands() -> Vec<Command> {
    let key = SecretKey::from_bytes([9; 32]);
    let consent = key.sign("golden", b"consent");
    let attempt = AttemptId(5);
    let mut all = vec![
        Command::RegisterParty { label: "Ada".into() },
        Command::RotateKey { new_key: key.public(), consent },
        Command::CertifyMachine {
            machine_key: key.public(),
            consent,
            label: "attic".into(),
            capacity: resources(),
        },
        Command::RevokeMachine { machine: MachineId(1) },
        Command::TopUp { amount_msat: Msat(1_000) },
        Command::Withdraw {
            bolt11: "lnbcrt1".into(),
            payment_hash: PaymentHash([5; 32]),
            amount_msat: Msat(1_000),
            max_fee_msat: Msat(10),
        },
        Command::LockBond { amount_msat: Msat(1) },
        Command::UnlockBond { amount_msat: Msat(1) },
        Command::CancelJob { job: JobId(1) },
        Command::DismissLease { lease: LeaseId(1) },
        Command::RevealBuyerLink(link()),
        Command::PostOffer { machine: MachineId(1), terms: offer_terms() },
        Command::ChangeOffer { offer: OfferId(1), terms: offer_terms() },
        Command::WithdrawOffer { offer: OfferId(1) },
        Command::CommitBid { order: OrderId(1), offer: OfferId(1), seal: Digest([6; 32]) },
        Command::RevealBid {
            order: OrderId(1),
            offer: OfferId(1),
            rate: Rate::per_task(Msat(7)),
            salt: Digest([7; 32]),
        },
        Command::StartLease { lease: LeaseId(1) },
        Command::QuitLease { lease: LeaseId(1) },
        Command::ClaimTasks { claims: vec![Claim { lease: LeaseId(1), max: 8 }] },
        Command::CommitResults { commits: vec![Commit { attempt, seal: Digest([8; 32]) }] },
        Command::AbandonAttempts { attempts: vec![Abandon { attempt, reason: AbandonReason::Memory }] },
    ];
    all.extend(venue_commands());
    for exit in [Exit::Code(-1), Exit::Trap, Exit::OutOfFuel] {
        let result = TaskResult { exit, output: Digest([1; 32]), fuel: u64::MAX };
        all.push(Command::RevealResults {
            reveals: vec![Reveal { attempt, salt: Digest([2; 32]), result, sale: None }],
        });
    }
    for outcome in [
        WithdrawalOutcome::Sent { fee_msat: Msat(1) },
        WithdrawalOutcome::Failed { reason: "no route".into() },
        WithdrawalOutcome::Unknown,
    ] {
        all.push(Command::WithdrawalOutcome { withdrawal: WithdrawalId(1), outcome });
    }
    let verifications = [
        Verification::None,
        Verification::Replicas { k: 2, n: 3, named: vec![PartyId(7)] },
        Verification::Audit { floor_ppm: 50_000 },
    ];
    let kinds = [OrderKind::Ask, auction(AuctionPrice::First), auction(AuctionPrice::Second)];
    for (verification, kind) in verifications.into_iter().zip(kinds) {
        let audit_anchor = (verification != Verification::None).then_some(Digest([3; 32]));
        all.push(Command::PlaceOrder { terms: order_terms(kind), job: job(verification), audit_anchor });
    }
    all.push(Command::FundVenue { amount_msat: Msat(1) });
    all.extend(commands_of_funding());
    all.extend(commands_of_sales());
    all
}

/// What came with sessions and holds.
fn commands_of_funding() -> Vec<Command> {
    let lease = LeaseId(1);
    let funded = |funding| {
        let terms = OrderTerms { funding: Some(funding), ..*order_terms(OrderKind::Ask) };
        Command::PlaceOrder { terms: Box::new(terms), job: job(Verification::None), audit_anchor: None }
    };
    let holds = Some(HoldTerms { slice_min_msat: Msat(90_000_000) });
    vec![
        funded(Funding::Session { prepay_msat: Msat(1_000) }),
        funded(Funding::Hold { slice_msat: Msat(90_000_000), slices: 8 }),
        Command::PostOffer { machine: MachineId(1), terms: Box::new(OfferTerms { holds, ..*offer_terms() }) },
        Command::InvoiceHold { lease, invoices: vec!["lnbcrt1".into(), "lnbcrt2".into()] },
        Command::HoldFunded { lease },
        Command::HoldOver { lease },
        Command::DealHold { lease, hashes: vec![PaymentHash([5; 32]), PaymentHash([6; 32])] },
        Command::ReleaseHold { lease, preimages: vec![Preimage([7; 32])] },
        Command::SetClaimCost { amount_msat: Msat(9_000_000) },
    ]
}

/// What came with paying to decrypt.
fn commands_of_sales() -> Vec<Command> {
    let (lease, attempt, preimage) = (LeaseId(1), AttemptId(2), Preimage([7; 32]));
    let funding = Some(Funding::Decrypt { deposit_ppm: 250_000 });
    let terms = Box::new(OrderTerms { funding, ..*order_terms(OrderKind::Ask) });
    let replicas = Verification::Replicas { k: 2, n: 3, named: vec![] };
    let sales = Some(SaleTerms { deposit_min_ppm: 100_000 });
    let encrypted = EncryptedResult {
        payment_hash: PaymentHash([5; 32]),
        ciphertext: Digest([6; 32]),
        salt: Digest([7; 32]),
        signer: SecretKey::from_bytes([8; 32]).public(),
        signature: Signature([9; 64]),
    };
    let result = TaskResult { exit: Exit::Code(0), output: Digest([4; 32]), fuel: 1 };
    let sale = Some(SaleOffer { encrypted, invoice: "lnbcrt1".into() });
    vec![
        Command::PlaceOrder { terms, job: job(replicas), audit_anchor: Some(Digest([3; 32])) },
        Command::PostOffer { machine: MachineId(1), terms: Box::new(OfferTerms { sales, ..*offer_terms() }) },
        Command::RevealResults { reveals: vec![Reveal { attempt, salt: Digest([2; 32]), result, sale }] },
        Command::ShowKey { lease, attempt, preimage },
        Command::DisputeKey { lease, attempt, ciphertext: Digest([6; 32]), preimage },
        Command::JudgeKey { lease, attempt, opened: None },
        Command::JudgeKey { lease, attempt, opened: Some(Digest([4; 32])) },
    ]
}

fn statement(command: Command, nonce: u64) -> Statement {
    let secret = SecretKey::from_bytes([1; 32]);
    let venue = SecretKey::from_bytes([2; 32]).public();
    let seen = nonce.is_multiple_of(2).then_some(Head { size: 3, root: Digest([5; 32]) });
    Statement::sign(
        &secret,
        &Payload { v: 1, venue, not_after_ms: TimeMs(1_700_000_000_000), nonce, seen, command },
    )
    .unwrap()
}

/// The variant's name, by a match without `_`: a new command does not compile before it has a golden line.
fn name(command: &Command) -> &'static str {
    match command {
        Command::RegisterParty { .. } => "register_party",
        Command::RotateKey { .. } => "rotate_key",
        Command::CertifyMachine { .. } => "certify_machine",
        Command::RevokeMachine { .. } => "revoke_machine",
        Command::TopUp { .. } => "top_up",
        Command::Withdraw { .. } => "withdraw",
        Command::LockBond { .. } => "lock_bond",
        Command::UnlockBond { .. } => "unlock_bond",
        Command::FundVenue { .. } => "fund_venue",
        Command::PlaceOrder { .. } => "place_order",
        Command::CancelJob { .. } => "cancel_job",
        Command::DismissLease { .. } => "dismiss_lease",
        Command::RevealBuyerLink(_) => "reveal_buyer_link",
        Command::PostOffer { .. } => "post_offer",
        Command::ChangeOffer { .. } => "change_offer",
        Command::WithdrawOffer { .. } => "withdraw_offer",
        Command::CommitBid { .. } => "commit_bid",
        Command::RevealBid { .. } => "reveal_bid",
        Command::StartLease { .. } => "start_lease",
        Command::QuitLease { .. } => "quit_lease",
        Command::InvoiceHold { .. } => "invoice_hold",
        Command::HoldFunded { .. } => "hold_funded",
        Command::HoldOver { .. } => "hold_over",
        Command::DealHold { .. } => "deal_hold",
        Command::ReleaseHold { .. } => "release_hold",
        Command::SetClaimCost { .. } => "set_claim_cost",
        Command::ShowKey { .. } => "show_key",
        Command::DisputeKey { .. } => "dispute_key",
        Command::JudgeKey { .. } => "judge_key",
        Command::ClaimTasks { .. } => "claim_tasks",
        Command::CommitResults { .. } => "commit_results",
        Command::RevealResults { .. } => "reveal_results",
        Command::AbandonAttempts { .. } => "abandon_attempts",
        Command::TopUpInvoiced { .. } => "top_up_invoiced",
        Command::TopUpOutcome { .. } => "top_up_outcome",
        Command::WithdrawalOutcome { .. } => "withdrawal_outcome",
        Command::AnchorAudits { .. } => "anchor_audits",
        Command::RevealVenueLink(_) => "reveal_venue_link",
        Command::Verdict { .. } => "verdict",
        Command::Liveness { .. } => "liveness",
        Command::Resume => "resume",
        Command::DeclareOwn { .. } => "declare_own",
        Command::ActivateRules { .. } => "activate_rules",
        Command::Tick => "tick",
    }
}

const COMMANDS: usize = 44;

#[test]
fn every_statement_that_was_ever_signed_is_still_read() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/statements-v1.jsonl");
    let all: Vec<_> = commands()
        .into_iter()
        .zip(0..)
        .map(|(command, n)| (command.clone(), statement(command, n)))
        .collect();
    if std::env::var("GRIST_GOLDEN").is_ok_and(|mode| mode == "write") {
        let lines = all.iter().map(|(_, statement)| serde_json::to_string(statement).unwrap() + "\n");
        std::fs::write(&file, lines.collect::<String>()).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap();
    let venue = SecretKey::from_bytes([2; 32]).public();
    let mut names = std::collections::BTreeSet::new();
    assert_eq!(golden.lines().count(), all.len());
    for (line, (command, expected)) in golden.lines().zip(&all) {
        let statement: Statement = serde_json::from_str(line).unwrap();
        let checked = statement.check(&venue).unwrap();
        assert_eq!(&checked.command, command);
        assert_eq!(&statement, expected, "what is signed today is written differently");
        names.insert(name(command));
    }
    assert_eq!(names.len(), COMMANDS, "a command without a golden line");
}
