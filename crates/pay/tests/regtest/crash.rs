//! Nodes that are killed: money is neither lost nor paid twice, with the channel or with the chain.

use super::{
    chain::{Chain, free_port, wait_for},
    nodes::{CHANNEL_SAT, options},
    puppet::{Answer, Order, Puppet, Strings},
};
use market::{id::PaymentHash, units::Msat};
use pay::{InvoiceState, PaymentState, Preimage, bolt11};
use std::path::Path;

const AMOUNT: Msat = Msat(50_000_000);
const HOUR_MS: u64 = 3_600_000;

struct Stage {
    chain: Chain,
    _folder: tempfile::TempDir,
    payer: Puppet,
    payee: Puppet,
}

fn strings(chain: &Chain, folder: &Path, peers: Vec<String>) -> Strings {
    let config = options(chain, folder);
    Strings { dir: config.dir, chain: config.chain, port: free_port(), peers }
}

impl Stage {
    fn set() -> Option<Stage> {
        let chain = Chain::start()?;
        let folder = tempfile::tempdir().unwrap();
        let mut payee = Puppet::start(strings(&chain, &folder.path().join("payee"), vec![]));
        let address = format!("{}@127.0.0.1:{}", payee.text(&Order::Id), payee.strings.port);
        let mut payer = Puppet::start(strings(&chain, &folder.path().join("payer"), vec![address.clone()]));
        fund(&chain, &mut [&mut payer, &mut payee]);
        open(&chain, &mut payer, &mut payee, address);
        Some(Stage { chain, _folder: folder, payer, payee })
    }

    fn held(&mut self, secret: Preimage) -> PaymentHash {
        let hash = secret.payment_hash();
        let bolt11 = self.payee.text(&Order::Hold { hash, hold_ms: HOUR_MS, amount: AMOUNT });
        self.payer.ask(&Order::Pay { bolt11, amount: AMOUNT, max_fee: Msat(0) });
        wait_for("it is held", || matches!(self.payee.invoice(hash), Some(InvoiceState::Held { .. })));
        hash
    }
}

impl Stage {
    /// Whether a payment arrived, once that is known; both sides have to agree.
    fn fate(&mut self, hash: PaymentHash) -> bool {
        wait_for("its fate is known", || {
            // A crash between two writes closes the channel; then the chain decides.
            self.chain.mine(u32::from(self.payer.count(&Order::Channels) == 0));
            matches!(
                self.payer.payment(hash),
                Some(PaymentState::Succeeded { .. } | PaymentState::Failed { .. })
            )
        });
        let has_arrived = matches!(self.payer.payment(hash), Some(PaymentState::Succeeded { .. }));
        let is_paid = matches!(self.payee.invoice(hash), Some(InvoiceState::Paid { .. }));
        assert_eq!(has_arrived, is_paid, "the two sides agree");
        has_arrived
    }
}

fn fund(chain: &Chain, puppets: &mut [&mut Puppet]) {
    for puppet in &mut *puppets {
        chain.mine_to(&puppet.text(&Order::Address), 10);
    }
    chain.mine(100);
    for puppet in puppets {
        wait_for("money on chain is there", || {
            puppet.ask(&Order::Sync);
            puppet.count(&Order::SpendableOnChain) > 1_000_000_000
        });
    }
}

fn open(chain: &Chain, from: &mut Puppet, to: &mut Puppet, peer: String) {
    let push = Msat(CHANNEL_SAT / 2 * 1_000);
    let opened = from.ask(&Order::Open { peer, value_sat: CHANNEL_SAT, push, is_announced: false });
    assert!(matches!(opened, Answer::Done), "{opened:?}");
    wait_for("the funding is sent", || chain.mempool() > 0);
    chain.mine(6);
    wait_for("both can use the channel", || {
        from.ask(&Order::Sync);
        to.ask(&Order::Sync);
        from.count(&Order::Usable) == 1 && to.count(&Order::Usable) == 1
    });
}

/// The worst moments are not chosen, they are hit: the process dies sooner or later after it was told to pay.
#[test]
fn a_payer_killed_right_after_sending_pays_once() {
    let Some(mut stage) = Stage::set() else { return };
    let payee_had = stage.payee.balance().spendable;
    let mut expected = payee_had.0;
    for delay_ms in [0, 5, 20, 60] {
        let bolt11 = stage.payee.text(&Order::Invoice { amount: AMOUNT });
        let hash = bolt11::decode(&bolt11).unwrap().payment_hash;
        let pay = Order::Pay { bolt11, amount: AMOUNT, max_fee: Msat(0) };
        stage.payer.say(&pay);
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        let strings = stage.payer.kill();
        stage.payer = Puppet::start(strings);

        let after = stage.payer.payment(hash);
        let mut has_arrived = after.is_some() && stage.fate(hash);
        if stage.payer.count(&Order::Channels) == 0 {
            println!("killed {delay_ms} ms after the order: the channel closed, arrived: {has_arrived}");
            return;
        }
        println!("killed {delay_ms} ms after the order: {after:?}, arrived: {has_arrived}");
        if !has_arrived {
            // Known to have failed, or never begun: the caller asks for it again.
            wait_for("the channel is back", || stage.payer.count(&Order::Usable) == 1);
            stage.payer.ask(&pay);
            has_arrived = stage.fate(hash);
        }
        assert!(has_arrived);
        // Asked once more, it answers and sends nothing.
        let again = stage.payer.ask(&pay);
        assert!(matches!(again, Answer::Payment(Some(PaymentState::Succeeded { .. }))), "{again:?}");
        expected += AMOUNT.0;
        wait_for("it arrived once", || stage.payee.balance().spendable.0 == expected);
    }
}

#[test]
fn a_hold_outlives_the_death_of_either_side() {
    let Some(mut stage) = Stage::set() else { return };
    let had = stage.payee.balance().spendable;
    let secret = Preimage([0xd1; 32]);
    let hash = stage.held(secret);

    stage.payee = Puppet::start(stage.payee.kill());
    assert!(matches!(stage.payee.invoice(hash), Some(InvoiceState::Held { .. })));
    stage.payer = Puppet::start(stage.payer.kill());
    let state = stage.payer.payment(hash);
    assert!(matches!(state, Some(PaymentState::InFlight | PaymentState::Unknown)), "{state:?}");
    wait_for("the channel is back", || {
        stage.payer.count(&Order::Usable) == 1 && stage.payee.count(&Order::Usable) == 1
    });

    let settled = stage.payee.ask(&Order::Settle { preimage: secret });
    assert!(matches!(settled, Answer::Done), "{settled:?}");
    wait_for(
        "the payer knows",
        || matches!(stage.payer.payment(hash), Some(PaymentState::Succeeded { preimage, .. }) if preimage == secret),
    );
    wait_for("the money is there", || stage.payee.balance().spendable.0 == had.0 + AMOUNT.0);
}

/// The peer is gone for good after the payment was accepted: the preimage takes the money on chain.
#[test]
fn with_a_dead_peer_a_hold_is_claimed_on_chain() {
    let Some(mut stage) = Stage::set() else { return };
    let secret = Preimage([0xd2; 32]);
    let hash = stage.held(secret);
    let had = stage.payee.count(&Order::OnChain);
    let _gone = stage.payer.kill();

    // LDK has the preimage, and nobody to give it to.
    stage.payee.ask(&Order::Settle { preimage: secret });
    let mut mined = 0;
    wait_for("the claim is confirmed on chain", || {
        // Few at a time: what LDK sends has to have its block before the next thing is due.
        stage.chain.mine(3);
        mined += 3;
        stage.payee.ask(&Order::Sync);
        // More than its half of the channel: the payment, less what claiming it cost.
        stage.payee.count(&Order::OnChain) > had + CHANNEL_SAT / 2
    });
    assert!(matches!(stage.payee.invoice(hash), Some(InvoiceState::Paid { .. })));
    let cost = had + CHANNEL_SAT / 2 + AMOUNT.0 / 1_000 - stage.payee.count(&Order::OnChain);
    println!("claimed on chain, {mined} blocks later, for {cost} sat");
}

/// The payee is gone for good while it holds: the payer's money comes back by itself.
#[test]
fn with_a_dead_payee_a_hold_is_refunded_on_chain() {
    let Some(mut stage) = Stage::set() else { return };
    let hash = stage.held(Preimage([0xd3; 32]));
    let _gone = stage.payee.kill();
    let mut mined = 0;
    wait_for("the payment is known to have failed", || {
        stage.chain.mine(3);
        mined += 3;
        stage.payer.ask(&Order::Sync);
        matches!(stage.payer.payment(hash), Some(PaymentState::Failed { .. }))
    });
    println!("refunded on chain, {mined} blocks later");
    assert_eq!(stage.payer.balance().in_flight, Msat(0));
}
