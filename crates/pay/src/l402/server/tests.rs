use super::*;
use crate::{
    PayRequest, Preimage,
    dev::{DevNetwork, DevNode},
    l402::{Challenge, Credential, Limit, Token},
    node::{InvoiceRequest, LightningNode},
};
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
    routing::get,
};
use bitcoin_hashes::{Hash, sha256};
use market::{
    id::LeaseId,
    units::{Msat, TimeMs},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tower::ServiceExt;

const START: u64 = 1_750_000_000_000;
const PRICE: Msat = Msat(5_000);

/// A gate with a node, a client with another, a clock that the test moves, and a folder that survives the gate.
struct Bed {
    time: Arc<AtomicU64>,
    network: DevNetwork,
    seller: DevNode,
    buyer: DevNode,
    folder: tempfile::TempDir,
    gate: Arc<Gate>,
}

impl Bed {
    fn new() -> Bed {
        let time = Arc::new(AtomicU64::new(START));
        let clock = time.clone();
        let network = DevNetwork::new([3; 32], move || TimeMs(clock.load(Ordering::Relaxed)));
        let (seller, buyer) = (network.node("seller"), network.node("buyer"));
        network.issue(&buyer, Msat(1_000_000)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let gate = gate(&time, &seller, &folder);
        Bed { time, network, seller, buyer, folder, gate }
    }

    /// The same gate after a restart.
    fn restarted(self) -> Bed {
        let gate = gate(&self.time, &self.seller, &self.folder);
        Bed { gate, ..self }
    }

    fn wait(&self, ms: u64) {
        self.time.fetch_add(ms, Ordering::Relaxed);
    }

    async fn pay(&self, challenge: &Challenge) -> Credential {
        let request = PayRequest { bolt11: challenge.invoice.clone(), amount: PRICE, max_fee: Msat(2_000) };
        match self.buyer.pay(request).await.unwrap() {
            crate::PaymentState::Succeeded { preimage, .. } => {
                let token = Token::from_base64(&challenge.token).unwrap();
                Credential { token, preimage: Some(preimage) }
            }
            other => panic!("{other:?}"),
        }
    }

    async fn bought(&self, product: &Product) -> Credential {
        self.pay(&self.gate.challenge("ann", product).await.unwrap()).await
    }
}

fn gate(time: &Arc<AtomicU64>, seller: &DevNode, folder: &tempfile::TempDir) -> Arc<Gate> {
    let now = TimeMs(time.load(Ordering::Relaxed));
    let settings = GateSettings {
        open: OpenLimits { per_client: 2, total: 3 },
        ..GateSettings::new("films", "films.example")
    };
    let keys = KeyFile::open(&folder.path().join("keys.json"), now).unwrap();
    let uses = UseLog::open(&folder.path().join("uses.log"), 100, now).unwrap();
    let clock = time.clone();
    let clock = move || TimeMs(clock.load(Ordering::Relaxed));
    Arc::new(Gate::new(settings, NodeTill(Arc::new(seller.clone())), keys, uses, clock))
}

fn film(name: &str) -> Product {
    Product {
        price: PRICE,
        capability: "watch".into(),
        path: Some(format!("/films/{name}")),
        lasts_ms: 3_600_000,
        max_uses: None,
        about: format!("the film {name}"),
    }
}

fn need(path: &str) -> Need<'_> {
    Need { capability: "watch", path, lease: None }
}

/// Films cost, the list does not.
fn tariff(request: &Parts) -> Charge {
    match request.uri.path().strip_prefix("/films/") {
        None => Charge::Free,
        Some(name) => {
            let max_uses = (name == "once").then_some(1);
            Charge::Due { client: "ann".into(), product: Product { max_uses, ..film(name) } }
        }
    }
}

fn router(bed: &Bed) -> Router {
    let watch = |rights: Option<Extension<crate::l402::Rights>>| async move {
        rights.map_or("nobody", |_| "the film")
    };
    Router::new()
        .route("/films/{name}", get(watch).post(|body: String| async move { body }))
        .route("/list", get(|| async { "all films" }))
        .layer(L402Layer::new(bed.gate.clone(), tariff))
}

async fn ask(bed: &Bed, path: &str, headers: &[(HeaderName, String)]) -> Response {
    let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    router(bed).oneshot(request).await.unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 65_536).await.unwrap().to_vec()).unwrap()
}

fn challenge_of(headers: &HeaderMap) -> Challenge {
    Challenge::parse(headers[header::WWW_AUTHENTICATE].to_str().unwrap()).unwrap()
}

fn with(credential: &Credential) -> [(HeaderName, String); 1] {
    [(header::AUTHORIZATION, credential.authorization().unwrap())]
}

#[tokio::test]
async fn a_request_is_paid_for_once_and_then_served() {
    let bed = Bed::new();
    assert_eq!(text(ask(&bed, "/list", &[]).await).await, "all films");
    let refused = ask(&bed, "/films/a", &[]).await;
    assert_eq!(refused.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(refused.headers()[header::CACHE_CONTROL], "no-store");
    let credential = bed.pay(&challenge_of(refused.headers())).await;
    for _ in 0..2 {
        let served = ask(&bed, "/films/a", &with(&credential)).await;
        assert_eq!((served.status(), text(served).await.as_str()), (StatusCode::OK, "the film"));
    }
    let legacy = [(HeaderName::from_static("macaroon"), credential.macaroon().unwrap())];
    assert_eq!(ask(&bed, "/films/a", &legacy).await.status(), StatusCode::OK);
    // Old clients of the reference server send both schemes.
    let lsat = credential.authorization().unwrap().replacen("L402", "LSAT", 1);
    let both = [(header::AUTHORIZATION, "Grist x".into()), (header::AUTHORIZATION, lsat)];
    assert_eq!(ask(&bed, "/films/a", &both).await.status(), StatusCode::OK);
    let elsewhere = ask(&bed, "/films/b", &with(&credential)).await;
    assert_eq!(elsewhere.status(), StatusCode::PAYMENT_REQUIRED);
    assert!(text(elsewhere).await.contains("for /films/a alone"));
    bed.network.check().unwrap();
}

#[tokio::test]
async fn a_header_that_is_broken_costs_no_invoice() {
    let bed = Bed::new();
    let broken = [(header::AUTHORIZATION, "L402 abc:def".to_owned())];
    for _ in 0..10 {
        assert_eq!(ask(&bed, "/films/a", &broken).await.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn knowing_the_preimage_is_not_having_paid() {
    let bed = Bed::new();
    let preimage = Preimage([5; 32]);
    let hash = preimage.payment_hash();
    let token = bed.gate.token_for(hash, &film("a"), TimeMs(START)).unwrap();
    let credential = Credential { token, preimage: Some(preimage) };
    let admitted = async |why: &str| {
        let result = bed.gate.admit_paid(&credential, &need("/films/a")).await;
        assert!(matches!(result, Err(Refused::NotSettled)), "{why}: {result:?}");
    };
    admitted("the node has no such invoice").await;
    let request = InvoiceRequest { amount: PRICE, description: "a".into(), expires_in_ms: 600_000 };
    let invoice = bed.seller.create_hold_invoice(hash, 600_000, request).await.unwrap();
    admitted("nobody has paid").await;
    let pay = PayRequest { bolt11: invoice.bolt11, amount: PRICE, max_fee: Msat(2_000) };
    assert_eq!(bed.buyer.pay(pay).await.unwrap(), crate::PaymentState::InFlight);
    admitted("the payment is held and can still go back").await;
    bed.seller.settle(preimage).await.unwrap();
    assert!(bed.gate.admit_paid(&credential, &need("/films/a")).await.is_ok());
}

#[tokio::test]
async fn a_token_for_one_use_is_good_for_one_also_after_a_restart() {
    let bed = Bed::new();
    let credential = bed.pay(&challenge_of(ask(&bed, "/films/once", &[]).await.headers())).await;
    assert_eq!(ask(&bed, "/films/once", &with(&credential)).await.status(), StatusCode::OK);
    let again = ask(&bed, "/films/once", &with(&credential)).await;
    assert_eq!(again.status(), StatusCode::PAYMENT_REQUIRED);
    let bed = bed.restarted();
    let narrower = credential.token.with_predicate("note=mine").unwrap();
    for token in [credential.token.clone(), narrower] {
        let copy = Credential { token, ..credential };
        let again = ask(&bed, "/films/once", &with(&copy)).await;
        assert_eq!(again.status(), StatusCode::PAYMENT_REQUIRED);
        assert!(text(again).await.contains("as often as it may be"));
    }
}

#[tokio::test]
async fn of_many_at_once_one_gets_the_only_use() {
    let bed = Bed::new();
    let credential = bed.bought(&Product { max_uses: Some(1), ..film("once") }).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut request = Request::builder().uri("/films/once").body(Body::empty()).unwrap();
        let value = HeaderValue::from_str(&credential.authorization().unwrap()).unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
        asked.spawn(router(&bed).oneshot(request));
    }
    let answers = asked.join_all().await.into_iter().map(Result::unwrap);
    let statuses: Vec<StatusCode> = answers.map(|answer| answer.status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn invoices_that_nobody_pays_are_bounded_and_given_again() {
    let bed = Bed::new();
    let ask = async |client: &str, name: &str| bed.gate.challenge(client, &film(name)).await;
    let first = ask("ann", "a").await.unwrap();
    assert_eq!(ask("ann", "a").await.unwrap(), first, "the same again");
    assert_ne!(ask("bob", "a").await.unwrap(), first, "another client's is another");
    ask("ann", "b").await.unwrap();
    assert!(matches!(ask("ann", "c").await, Err(NoChallenge::TooManyOpen)), "two for each client");
    assert!(matches!(ask("cid", "a").await, Err(NoChallenge::TooManyOpen)), "three altogether");
    let credential = bed.pay(&first).await;
    assert!(bed.gate.admit_paid(&credential, &need("/films/a")).await.is_ok());
    ask("cid", "a").await.expect("what was paid makes room");
    bed.wait(600_000);
    ask("dan", "a").await.expect("what has expired makes room");
}

#[tokio::test]
async fn an_invoice_that_was_paid_is_not_given_again() {
    let bed = Bed::new();
    let first = bed.gate.challenge("ann", &film("a")).await.unwrap();
    bed.pay(&first).await;
    assert_ne!(bed.gate.challenge("ann", &film("a")).await.unwrap(), first);
}

#[tokio::test]
async fn a_token_expires_and_outlives_its_root_key() {
    let bed = Bed::new();
    let long = Product { lasts_ms: u64::MAX, ..film("a") };
    bed.wait(bed.gate.settings().rotate_every_ms);
    let credential = bed.bought(&long).await;
    assert!(bed.gate.rotate_when_due().unwrap());
    assert!(!bed.gate.rotate_when_due().unwrap());
    let bed = bed.restarted();
    bed.wait(bed.gate.settings().token_max_ms - 1_000);
    assert!(bed.gate.admit_paid(&credential, &need("/films/a")).await.is_ok());
    bed.wait(2_000);
    let expired = bed.gate.admit_paid(&credential, &need("/films/a")).await;
    assert!(matches!(expired, Err(Refused::Signature | Refused::Expired)), "{expired:?}");
    let short = bed.bought(&film("a")).await;
    bed.wait(3_601_000);
    let expired = bed.gate.admit_paid(&short, &need("/films/a")).await;
    assert!(matches!(expired, Err(Refused::Expired)), "{expired:?}");
}

#[tokio::test]
async fn a_token_that_was_given_buys_nothing_and_one_that_was_bought_is_about_no_lease() {
    let bed = Bed::new();
    let (lease, can) = (LeaseId(7), BTreeSet::from(["watch".to_owned(), "logs".to_owned()]));
    let given = bed.gate.grant(lease, can, 60_000).unwrap();
    let about = |lease| Need { capability: "logs", path: "/x", lease };
    assert!(bed.gate.admit_given(&given, &about(Some(lease))).is_ok());
    for (other, capability) in [(Some(LeaseId(8)), "logs"), (None, "logs"), (Some(lease), "other")] {
        let need = Need { capability, path: "/x", lease: other };
        assert!(bed.gate.admit_given(&given, &need).is_err(), "{other:?} {capability}");
    }
    let narrower =
        given.narrowed(&Limit::Capabilities(BTreeSet::from(["watch".into()])).of("films")).unwrap();
    assert!(bed.gate.admit_given(&narrower, &about(Some(lease))).is_err());
    let free = Credential { token: given, preimage: Some(Preimage([0; 32])) };
    let refused = bed.gate.admit_paid(&free, &need("/films/a")).await;
    assert!(matches!(refused, Err(Refused::Kind(_))), "{refused:?}");
    let bought = bed.bought(&film("a")).await;
    assert!(bed.gate.admit_given(&bought.token, &about(Some(lease))).is_err());
}

#[tokio::test]
async fn a_token_for_one_body_serves_that_body() {
    let bed = Bed::new();
    let credential = bed.bought(&film("a")).await;
    let hash = Limit::BodySha256(sha256::Hash::hash(b"a note").to_byte_array()).of("films");
    let credential = Credential { token: credential.token.narrowed(&hash).unwrap(), ..credential };
    for (body, status) in [("a note", StatusCode::OK), ("another", StatusCode::PAYMENT_REQUIRED)] {
        let mut request = Request::post("/films/a").body(Body::from(body)).unwrap();
        let value = HeaderValue::from_str(&credential.authorization().unwrap()).unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
        let response = router(&bed).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{body}");
        assert!(
            status != StatusCode::OK || text(response).await == body,
            "the handler gets the body as well"
        );
    }
}

#[test]
fn a_torn_last_line_of_uses_is_cut_and_a_broken_one_before_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uses.log");
    let limit = |byte| crate::l402::UseLimit { counter: market::id::Digest([byte; 32]), max: 1 };
    let mut log = UseLog::open(&path, 2, TimeMs(0)).unwrap();
    log.spend(&[limit(1)], TimeMs(10), TimeMs(0)).unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}0202")).unwrap();
    let mut log = UseLog::open(&path, 2, TimeMs(0)).unwrap();
    assert!(matches!(log.spend(&[limit(1)], TimeMs(10), TimeMs(0)), Err(SpendError::Spent { max: 1 })));
    // Both or none: the second is spent, so the first is not counted.
    assert!(log.spend(&[limit(3), limit(1)], TimeMs(10), TimeMs(0)).is_err());
    log.spend(&[limit(3)], TimeMs(20), TimeMs(0)).unwrap();
    assert!(matches!(log.spend(&[limit(4)], TimeMs(20), TimeMs(0)), Err(SpendError::Full)));
    log.spend(&[limit(4)], TimeMs(20), TimeMs(11)).expect("what has expired makes room");
    std::fs::write(&path, format!("0202\n{whole}")).unwrap();
    assert!(matches!(UseLog::open(&path, 2, TimeMs(0)), Err(UseLogError::Damaged { line: 1, .. })));
}

#[cfg(unix)]
#[test]
fn secrets_on_disk_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::new();
    for name in ["keys.json", "uses.log"] {
        let mode = std::fs::metadata(bed.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_no_reason_to_pay_again() {
    let bed = Bed::new();
    let credential = bed.bought(&film("a")).await;
    struct Silent;
    impl Till for Silent {
        fn invoice(&self, _: InvoiceRequest) -> crate::NodeFuture<'_, crate::Invoice, crate::InvoiceError> {
            Box::pin(std::future::ready(Err(crate::Unavailable("asleep".into()).into())))
        }
        fn state(
            &self,
            _: market::id::PaymentHash,
        ) -> crate::NodeFuture<'_, Option<crate::InvoiceState>, crate::Unavailable> {
            Box::pin(std::future::ready(Err(crate::Unavailable("asleep".into()))))
        }
    }
    let keys = KeyFile::open(&bed.folder.path().join("keys.json"), TimeMs(START)).unwrap();
    let settings = GateSettings::new("films", "films.example");
    let silent = Gate::new(settings, Silent, keys, UseLog::in_memory(9), || TimeMs(START));
    let bed = Bed { gate: Arc::new(silent), ..bed };
    for headers in [&with(&credential)[..], &[]] {
        assert_eq!(ask(&bed, "/films/a", headers).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
