//! Bad requests: each gets a clear error with a code and what to do, and changes nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use market::{
    command::Command,
    id::Digest,
    key::SecretKey,
    statement::{MAX_LIFETIME_MS, Payload, Statement},
    units::{Msat, TimeMs},
};
use node::{
    api::{ApiError, ReadToken},
    client::Market,
};
use reqwest::{Client, Method, RequestBuilder};
use support::{OpenMarket, party};

struct Door {
    open: OpenMarket,
    market: Market,
    http: Client,
}

impl Door {
    async fn open() -> Door {
        let open = OpenMarket::with(|config| {
            config.limits.blobs.blob_max_bytes = 1_000;
            config.limits.blobs.party_quota_bytes = 1_500;
        });
        let open = open.await;
        Door { market: open.market.clone(), open, http: Client::builder().no_proxy().build().unwrap() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.open.running.address()))
    }

    fn payload(&self, command: Command) -> Payload {
        let not_after_ms = self.market.now().plus(60_000);
        Payload { v: 1, venue: self.market.venue(), not_after_ms, nonce: 1, seen: None, command }
    }

    fn statement(&self, change: impl FnOnce(&mut Payload)) -> Statement {
        let mut payload = self.payload(Command::RegisterParty { label: "mallory".into() });
        change(&mut payload);
        Statement::sign(&SecretKey::from_bytes([66; 32]), &payload).unwrap()
    }

    /// A statement whose payload is changed as text before it is signed.
    fn written(&self, from: &str, to: &str) -> Statement {
        let mut statement = self.statement(|_| {});
        assert!(statement.payload.contains(from), "{}", statement.payload);
        statement.payload = statement.payload.replace(from, to);
        let secret = SecretKey::from_bytes([66; 32]);
        statement.signature = secret.sign(market::statement::DOMAIN, statement.payload.as_bytes());
        statement
    }

    fn post(&self, statement: &Statement) -> RequestBuilder {
        self.request(Method::POST, "/v1/statements").json(statement)
    }
}

async fn answer(request: RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let error: ApiError =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} without an error: {text}"));
    (status, error.code, error.message)
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one table of bad statements")]
async fn bad_statements_are_refused_with_a_reason() {
    let door = Door::open().await;
    let position = door.market.info().await.unwrap().position;
    let mut tampered = door.statement(|_| {});
    tampered.payload = tampered.payload.replace("mallory", "alice");
    let text = serde_json::to_string(&door.statement(|_| {})).unwrap();
    let json = |body: String| {
        door.request(Method::POST, "/v1/statements").header("content-type", "application/json").body(body)
    };
    let late = |ms| door.statement(move |payload| payload.not_after_ms = TimeMs(ms));
    let now = door.market.now();

    let table = [
        ("changed after signing", door.post(&tampered), 403, "bad_signature"),
        (
            "for another venue",
            door.post(&door.statement(|p| p.venue = SecretKey::from_bytes([5; 32]).public())),
            403,
            "wrong_venue",
        ),
        ("an unknown field", door.post(&door.written("\"v\":1", "\"v\":1,\"extra\":1")), 422, "unreadable"),
        (
            "an unknown command",
            door.post(&door.written("register_party", "register_paty")),
            422,
            "unreadable",
        ),
        ("a version from the future", door.post(&door.written("\"v\":1", "\"v\":9")), 422, "version"),
        ("a negative number", door.post(&door.written("\"nonce\":1", "\"nonce\":-1")), 422, "unreadable"),
        (
            "a huge number",
            door.post(&door.written("\"nonce\":1", "\"nonce\":99999999999999999999999")),
            422,
            "unreadable",
        ),
        ("an expired one", door.post(&late(now.0 - 60_000)), 409, "expired"),
        ("a clock that runs ahead", door.post(&late(now.0 + 2 * MAX_LIFETIME_MS)), 409, "lifetime_too_long"),
        (
            "an unknown signer",
            door.post(&door.statement(|p| p.command = Command::TopUp { amount_msat: Msat(1_000_000) })),
            403,
            "unknown_signer",
        ),
        (
            "a command of the venue",
            door.post(&door.statement(|p| p.command = Command::Tick)),
            403,
            "not_allowed",
        ),
        ("a body that breaks off", json(text[..text.len() / 2].to_owned()), 400, "unreadable"),
        ("an unknown field outside", json(text.replacen('{', "{\"extra\":1,", 1)), 422, "unreadable"),
        ("no JSON at all", json("hello".into()), 400, "unreadable"),
        ("nothing", json(String::new()), 400, "unreadable"),
        (
            "another content type",
            door.request(Method::POST, "/v1/statements").body(text.clone()),
            415,
            "unsupported_media_type",
        ),
        ("too large", json(format!("\"{}\"", "x".repeat(4 << 20))), 413, "too_large"),
        ("another method", door.request(Method::DELETE, "/v1/statements"), 405, "method_not_allowed"),
    ];
    for (what, request, status, code) in table {
        let (found_status, found_code, message) = answer(request).await;
        assert_eq!((found_status, found_code.as_str()), (status, code), "{what}: {message}");
        assert!(message.len() > 10, "{what}: {message}");
    }
    assert_eq!(
        door.market.info().await.unwrap().position,
        position,
        "a refused statement changed the market"
    );
    door.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_reads_are_refused_with_a_reason() {
    let door = Door::open().await;
    let alice = party(&door.market, 1).await;
    let token =
        |secret: &SecretKey, expires: TimeMs| ReadToken::sign(secret, &door.market.venue(), expires).header();
    let now = door.market.now();
    let get = |path: &str| door.request(Method::GET, path);
    let with = |path: &str, token: String| get(path).header("authorization", token);
    let elsewhere = ReadToken::sign(&alice, &alice.public(), now.plus(60_000)).header();
    let stranger = SecretKey::from_bytes([77; 32]);

    let table = [
        ("no such page", get("/v1/nothing"), 404, "not_found"),
        ("a wrong id", get("/v1/offers/offer-x"), 400, "bad_request"),
        ("no such offer", get("/v1/offers/offer-999"), 404, "not_found"),
        ("an unknown parameter", get("/v1/offers?colour=red"), 400, "bad_request"),
        ("a negative parameter", get("/v1/log/consistency?old=-1&new=0"), 400, "bad_request"),
        ("a proof beyond the end", get("/v1/log/consistency?old=0&new=999999"), 404, "beyond_end"),
        ("a bad cursor", get("/v1/events?after=yesterday"), 400, "bad_request"),
        ("no token", get("/v1/account"), 401, "unauthorized"),
        ("a token that is none", with("/v1/account", "Bearer x".into()), 401, "unauthorized"),
        ("an expired token", with("/v1/account", token(&alice, TimeMs(now.0 - 1))), 401, "unauthorized"),
        (
            "a token for too long",
            with("/v1/account", token(&alice, now.plus(2 * ReadToken::MAX_LIFETIME_MS))),
            401,
            "unauthorized",
        ),
        ("a token for another venue", with("/v1/account", elsewhere), 401, "unauthorized"),
        ("a stranger's token", with("/v1/account", token(&stranger, now.plus(60_000))), 401, "unauthorized"),
        (
            "somebody else's work",
            with("/v1/work?machine=machine-1", token(&alice, now.plus(60_000))),
            403,
            "forbidden",
        ),
        ("no such job", with("/v1/jobs/job-1", token(&alice, now.plus(60_000))), 404, "not_found"),
    ];
    for (what, request, status, code) in table {
        let (found_status, found_code, message) = answer(request).await;
        assert_eq!((found_status, found_code.as_str()), (status, code), "{what}: {message}");
    }
    door.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_blobs_are_refused_and_nothing_is_stored() {
    let door = Door::open().await;
    let alice = party(&door.market, 1).await;
    let header = door.market.read_token(&alice).header();
    let put = |digest: Digest, body: Vec<u8>| {
        door.request(Method::PUT, &format!("/v1/blobs/{digest}")).header("authorization", &header).body(body)
    };
    let get = |digest: Digest| {
        door.request(Method::GET, &format!("/v1/blobs/{digest}")).header("authorization", &header)
    };
    let (real, wrong) = (Digest::of(b"real"), Digest::of(b"wrong"));

    let (status, code, message) = answer(put(real, b"other bytes".to_vec())).await;
    assert_eq!((status, code.as_str()), (422, "blob_mismatch"), "{message}");
    assert_eq!(answer(get(real)).await.0, 404, "a blob with a wrong digest was stored");
    let large = vec![1; 1_001];
    assert_eq!(answer(put(Digest::of(&large), large)).await.1, "too_large");
    let anonymous = door.request(Method::PUT, &format!("/v1/blobs/{wrong}")).body("wrong");
    assert_eq!(answer(anonymous).await.0, 401);

    let (first, second) = (vec![1; 900], vec![2; 900]);
    door.market.put_blob(&alice, first.clone()).await.unwrap();
    assert_eq!(answer(put(Digest::of(&second), second)).await.1, "quota");
    assert!(door.market.put_blob(&alice, first.clone()).await.is_ok(), "what is stored is not charged twice");
    let digest = Digest::of(&first);
    assert_eq!(answer(get(digest).header("range", "bytes=900-")).await.1, "range");
    assert_eq!(answer(get(digest).header("range", "lines=1-2")).await.1, "bad_request");
    let part = get(digest).header("range", "bytes=890-2000").send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-range"]),
        (206, &"bytes 890-899/900".parse().unwrap())
    );
    assert_eq!(part.bytes().await.unwrap().len(), 10);
    door.open.close().await;
}
