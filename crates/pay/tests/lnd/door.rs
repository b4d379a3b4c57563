//! Who gets in: certificates, macaroons, networks; and an LND that is not at work.

use super::{
    AMOUNT,
    bed::{Bed, config, secret},
    request, to_pay,
};
use crate::{
    server::{MACAROON, MACAROON_THAT_READS, Mood, StandIn},
    wire,
};
use data_encoding::HEXLOWER;
use pay::{
    InvoiceError, LightningNode, PayError, PaymentState, Unavailable,
    lnd::{FolderError, LndConfig, LndNode, OpenError},
    secret::{SecretError, SecretRef},
};
use std::fs;

#[tokio::test]
async fn another_certificate_is_refused_before_anything_is_said() {
    let bed = Bed::start().await;
    let before = bed.payer.lnd.requests.lock().unwrap().len();
    let config = LndConfig { certificate: bed.payee.config.certificate.clone(), ..bed.payer.config.clone() };
    let refused = LndNode::open(&config).await.unwrap_err();
    assert!(matches!(refused, OpenError::OtherCertificate { .. }), "{refused}");
    assert!(refused.to_string().contains("copy its tls.cert again"), "{refused}");
    assert_eq!(bed.payer.lnd.requests.lock().unwrap().len(), before);
}

#[tokio::test]
async fn while_one_certificate_replaces_another_both_are_accepted() {
    let bed = Bed::start().await;
    let read = |config: &LndConfig| config.certificate.read_public().unwrap();
    let both = [read(&bed.payee.config), read(&bed.payer.config)].concat();
    let SecretRef::File(file) = &bed.payer.config.certificate else { panic!("a file") };
    fs::write(file, both).unwrap();
    bed.payer.open().await.unwrap();
}

#[tokio::test]
async fn what_is_no_certificate_or_no_macaroon_is_said_to_be_none() {
    let bed = Bed::start().await;
    let (good, folder) = (&bed.payer.config, tempfile::tempdir().unwrap());
    let junk = SecretRef::File(secret(folder.path(), "junk", b"junk"));
    let refused = LndNode::open(&LndConfig { certificate: junk.clone(), ..good.clone() }).await.unwrap_err();
    assert!(matches!(refused, OpenError::NoCertificate(_)), "{refused}");
    let refused = LndNode::open(&LndConfig { macaroon: junk, ..good.clone() }).await.unwrap_err();
    assert!(matches!(refused, OpenError::NoMacaroon(_)), "{refused}");
    let missing = SecretRef::File(folder.path().join("missing"));
    let refused = LndNode::open(&LndConfig { macaroon: missing, ..good.clone() }).await.unwrap_err();
    assert!(matches!(refused, OpenError::Secret(SecretError::Io { .. })), "{refused}");
}

#[tokio::test]
async fn a_macaroon_of_another_lnd_is_named_as_the_reason() {
    let bed = Bed::start().await;
    let folder = tempfile::tempdir().unwrap();
    let macaroon = SecretRef::File(secret(folder.path(), "m", b"\x02\x01\x03lnd-other"));
    let refused = LndNode::open(&LndConfig { macaroon, ..bed.payer.config.clone() }).await.unwrap_err();
    assert!(
        matches!(&refused, OpenError::Denied(why) if why.contains("does not accept the macaroon")),
        "{refused}"
    );
}

#[tokio::test]
async fn a_macaroon_that_may_only_read_pays_nothing_and_says_what_is_missing() {
    let bed = Bed::start().await;
    let folder = tempfile::tempdir().unwrap();
    let macaroon = SecretRef::File(secret(folder.path(), "m", MACAROON_THAT_READS));
    let dir = folder.path().join("lnd");
    let config = LndConfig { macaroon, dir, ..bed.payer.config.clone() };
    let reader = LndNode::open_with_clock(&config, bed.time.clock()).await.unwrap();
    reader.balance().await.unwrap();
    let Err(InvoiceError::Unavailable(why)) = reader.create_invoice(request(AMOUNT)).await else { panic!() };
    assert!(why.to_string().contains("bake one as docs/lightning.md says"), "{why}");
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    let Err(PayError::Unavailable(why)) = reader.pay(to_pay(&invoice)).await else { panic!() };
    assert!(why.to_string().contains("bake one as docs/lightning.md says"), "{why}");
    assert_eq!(reader.payment(invoice.payment_hash).await.unwrap(), None, "nothing was begun");
}

#[tokio::test]
async fn a_locked_lnd_says_how_to_unlock_it_and_nothing_is_begun() {
    let bed = Bed::start().await;
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    let locked = Mood::Refusing("wallet locked, unlock it to enable full RPC access");
    *bed.payer.lnd.mood.lock().unwrap() = locked;
    let refused = bed.payer.open().await.unwrap_err();
    assert!(matches!(&refused, OpenError::Denied(why) if why.contains("lncli unlock")), "{refused}");
    let refused = bed.payer.pay(to_pay(&invoice)).await;
    let Err(PayError::Unavailable(Unavailable(why))) = refused else { panic!("{refused:?}") };
    assert!(why.contains("lncli unlock"), "{why}");
    *bed.payer.lnd.mood.lock().unwrap() = Mood::Well;
    assert_eq!(bed.payer.payment(invoice.payment_hash).await.unwrap(), None, "it is as if nobody had asked");
    bed.payer.pay(to_pay(&invoice)).await.unwrap();
    let state = bed.payer.payment(invoice.payment_hash).await.unwrap();
    assert!(matches!(state, Some(PaymentState::Succeeded { .. })), "{state:?}");
}

#[tokio::test]
async fn where_nobody_listens_the_address_is_named() {
    let bed = Bed::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = port.to_string().parse().unwrap();
    let refused = LndNode::open(&LndConfig { address, ..bed.payer.config.clone() }).await.unwrap_err();
    assert!(matches!(refused, OpenError::Unreachable { .. }), "{refused}");
    assert!(refused.to_string().contains(&port.to_string()), "{refused}");
}

#[tokio::test]
async fn answers_that_make_no_sense_decide_nothing() {
    let bed = Bed::start().await;
    let invoice = bed.payee.create_invoice(request(AMOUNT)).await.unwrap();
    for babble in [b"".to_vec(), b"{}".to_vec(), b"[1,2".to_vec(), b"<html>".to_vec()] {
        *bed.payee.lnd.mood.lock().unwrap() = Mood::Babbling(babble);
        assert!(bed.payee.balance().await.is_err());
        assert!(bed.payee.invoice(invoice.payment_hash).await.is_err());
        assert!(bed.payee.payment(invoice.payment_hash).await.is_err());
    }
    *bed.payee.lnd.mood.lock().unwrap() = Mood::Well;
    assert!(bed.payee.invoice(invoice.payment_hash).await.unwrap().is_some());
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let bed = Bed::start().await;
    let mut answer = wire::balance(AMOUNT, AMOUNT).to_string().into_bytes();
    answer.resize(7 << 20, b' ');
    *bed.payee.lnd.mood.lock().unwrap() = Mood::Babbling(answer.clone());
    assert_eq!(bed.payee.balance().await.unwrap().spendable, AMOUNT);
    answer.resize(9 << 20, b' ');
    *bed.payee.lnd.mood.lock().unwrap() = Mood::Babbling(answer);
    let Unavailable(why) = bed.payee.balance().await.unwrap_err();
    assert!(why.contains("longer than 8 MiB"), "{why}");
}

#[tokio::test]
async fn networks_never_mix_and_real_money_has_to_be_allowed() {
    let bed = Bed::start().await;
    let folder = tempfile::tempdir().unwrap();
    let lnd_on = |network| StandIn::new(bed.network.node(network), network, bed.time.clock());
    let (signet, bitcoin) = (lnd_on("signet").serve(), lnd_on("mainnet").serve());
    let odd = lnd_on("litecoin").serve();

    let mut on_signet = config(&signet, &folder.path().join("signet"));
    on_signet.dir.clone_from(&bed.payer.config.dir);
    let refused = LndNode::open(&on_signet).await.unwrap_err();
    assert!(matches!(refused, OpenError::Folder(FolderError::OtherNetwork { .. })), "{refused}");

    let mut on_bitcoin = config(&bitcoin, &folder.path().join("bitcoin"));
    let refused = LndNode::open(&on_bitcoin).await.unwrap_err();
    assert!(matches!(refused, OpenError::Folder(FolderError::RealMoney)), "{refused}");
    on_bitcoin.allow_real_money = true;
    assert!(!LndNode::open(&on_bitcoin).await.unwrap().info().await.unwrap().play_money);

    let refused = LndNode::open(&config(&odd, &folder.path().join("odd"))).await.unwrap_err();
    assert!(matches!(refused, OpenError::NoSuchNetwork(_)), "{refused}");
}

#[tokio::test]
async fn the_macaroon_shows_nowhere() {
    let bed = Bed::start().await;
    *bed.payer.lnd.mood.lock().unwrap() = Mood::Refusing("permission denied");
    let errors = (bed.payer.balance().await.unwrap_err(), bed.payer.open().await.unwrap_err());
    let shown = format!("{:?} {:?} {errors:?}", bed.payer.node(), bed.payer.config);
    let kept = fs::read_to_string(bed.payer.config.dir.join("network")).unwrap();
    for part in [HEXLOWER.encode(MACAROON), HEXLOWER.encode(b"lnd-full"), "lnd-full".to_owned()] {
        assert!(!shown.contains(&part) && !kept.contains(&part), "{shown}");
    }
}
