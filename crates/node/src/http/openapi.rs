//! What `/openapi.json` says: every path, what it takes and what it gives.

use crate::api::{Accepted, ApiError};
use market::{
    command::Command,
    id::PartyId,
    key::SecretKey,
    log::{Head, SignedHead},
    rejection::Rejection,
    reply::Reply,
    statement::{Payload, Statement},
    units::TimeMs,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder,
    PathItem, PathsBuilder, Ref, Required, ResponseBuilder, ResponsesBuilder, Schema, Type,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
};

/// One operation: method, path, summary, query parameters, body, answer, whether it needs a read token.
struct Operation {
    method: HttpMethod,
    path: &'static str,
    summary: &'static str,
    query: &'static [&'static str],
    takes: Option<&'static str>,
    gives: &'static str,
    is_private: bool,
}

const fn get(path: &'static str, summary: &'static str, gives: &'static str) -> Operation {
    Operation { method: HttpMethod::Get, path, summary, query: &[], takes: None, gives, is_private: false }
}

const fn post(
    path: &'static str,
    summary: &'static str,
    takes: &'static str,
    gives: &'static str,
) -> Operation {
    Operation { method: HttpMethod::Post, takes: Some(takes), ..get(path, summary, gives) }
}

const fn private(operation: Operation) -> Operation {
    Operation { is_private: true, ..operation }
}

const fn with(query: &'static [&'static str], operation: Operation) -> Operation {
    Operation { query, ..operation }
}

/// Everything that the market answers to; `router` is checked against it.
const OPERATIONS: &[Operation] = &[
    post(
        "/v1/statements",
        "Hand in a signed statement: the one way to change anything",
        "Statement",
        "Accepted",
    ),
    get("/v1/venue", "What the market says about itself", "VenueInfo"),
    get("/v1/board", "The market at a glance", "Board"),
    get("/v1/keys/{key}", "What a key is here", "KeyView"),
    private(with(
        &["machine", "revision", "wait_ms"],
        get("/v1/work", "What a machine has to do; waits until that differs from `revision`", "WorkView"),
    )),
    with(
        &["after"],
        get("/v1/events", "What happens, as server-sent events; `id` is the cursor", "PlacedEvent"),
    ),
    with(&["after", "limit", "machine", "party"], get("/v1/offers", "Standing offers by id", "OfferView")),
    get("/v1/offers/{offer}", "A standing offer", "OfferView"),
    get("/v1/offers/{offer}/why-idle", "Why an offer has no work, and what would have won", "WhyIdle"),
    post("/v1/quotes", "What a job would cost on the live offers", "QuoteRequest", "Quote"),
    private(get("/v1/orders/{order}/why", "Why an order has no more leases", "WhyOrder")),
    private(get("/v1/jobs", "Your jobs, the newest first", "JobView")),
    private(get("/v1/jobs/{job}", "A job of yours", "JobView")),
    private(get("/v1/jobs/{job}/tasks", "The tasks of a job of yours", "TaskView")),
    get("/v1/leases/{lease}", "A lease", "LeaseView"),
    with(&["party"], get("/v1/machines", "The machines of a party", "MachineView")),
    get("/v1/machines/{machine}", "A machine", "MachineView"),
    get("/v1/parties/{party}", "A party and its reputation", "PartyView"),
    private(get("/v1/account", "Your money", "AccountView")),
    private(get("/v1/topups/{topup}", "A top-up of yours", "TopupView")),
    private(get("/v1/withdrawals/{withdrawal}", "A withdrawal of yours", "WithdrawalView")),
    private(get("/v1/receipts/{job}", "The receipt of a job that you had a part in", "Receipt")),
    get("/v1/log/head", "The newest signed head of the public log", "SignedHead"),
    with(
        &["start", "limit"],
        get("/v1/log/entries", "Entries of the public log, as they were hashed", "PlacedEvent[]"),
    ),
    with(&["index", "size"], get("/v1/log/inclusion", "Proof that an event is in the log", "InclusionProof")),
    with(
        &["old", "new"],
        get("/v1/log/consistency", "Proof that one log continues another", "ConsistencyProof"),
    ),
    private(get("/v1/blobs/{digest}", "A blob, or a range of it", "bytes")),
    private(Operation {
        method: HttpMethod::Head,
        ..get("/v1/blobs/{digest}", "Whether a blob is stored", "nothing")
    }),
    private(Operation {
        method: HttpMethod::Put,
        takes: Some("bytes"),
        ..get("/v1/blobs/{digest}", "Store a blob under its BLAKE3 digest", "BlobStored")
    }),
    post("/v1/dev/pay", "Pay an invoice with play money, where the market has some", "DevPay", "nothing"),
    post(
        "/v1/dev/invoice",
        "An invoice of a play-money wallet to withdraw to",
        "DevInvoiceRequest",
        "DevInvoice",
    ),
    get("/healthz", "Whether it takes statements and can pay what it owes", "text"),
    get("/metrics", "Counters in the OpenMetrics format", "text"),
];

/// The types that travel, with where their fields are described.
const TYPES: &[(&str, &str)] = &[
    (
        "Statement",
        "`payload` (JSON text: v, venue, not_after_ms, nonce, seen, command), `key`, `signature` (ed25519, hex)",
    ),
    ("Accepted", "`position` in the journal, `reply`, `duplicate`, and the newest signed `head`"),
    ("ApiError", "`code`: a stable word; `message`: what is wrong and what to do"),
    ("QuoteRequest", "`terms` of an order and the `job`"),
    ("DevPay", "`bolt11`: the invoice to pay"),
    ("DevInvoiceRequest", "`amount_msat`: over how much"),
];

/// The document.
pub(super) fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for operation in OPERATIONS {
        paths = paths.path(operation.path, operation.item());
    }
    let mut components = ComponentsBuilder::new().security_scheme(
        "read_token",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "Authorization",
            "`Grist KEY.EXPIRES_MS.SIGNATURE`: a registered key's signature over venue key and expiry, good for at most an hour",
        ))),
    );
    for name in type_names() {
        let description = TYPES.iter().find(|(known, _)| *known == name).map_or_else(
            || format!("See `{name}` in the documentation of the crates `node::api` and `market`"),
            |(_, description)| (*description).to_owned(),
        );
        let object = ObjectBuilder::new().schema_type(Type::Object).description(Some(description));
        let object = object.examples(example(name)).build();
        components = components.schema(name, Schema::Object(object));
    }
    let info = InfoBuilder::new()
        .title("Gristmill market")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "An open market for verified compute. Statements are the only way to change anything; all else is reading. \
             Integers above 2^53 − 1 travel as strings. Every error is an `ApiError`.",
        ))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

/// What a type looks like, for those that people write or meet first.
fn example(name: &str) -> Option<serde_json::Value> {
    let (alice, venue) = (SecretKey::from_bytes([1; 32]), SecretKey::from_bytes([2; 32]));
    let at = TimeMs(1_790_000_000_000);
    match name {
        "Statement" => {
            let command = Command::RegisterParty { label: "alice".into() };
            let payload = Payload {
                v: 1,
                venue: venue.public(),
                not_after_ms: at.plus(60_000),
                nonce: 7,
                seen: None,
                command,
            };
            serde_json::to_value(Statement::sign(&alice, &payload).ok()?).ok()
        }
        "Accepted" => {
            let head = SignedHead::sign(Head::empty(), at, &venue);
            let reply = Reply::Party(PartyId(1));
            serde_json::to_value(Accepted { position: 1, reply, duplicate: false, head }).ok()
        }
        "ApiError" => {
            let refusal = Rejection::UnknownSigner;
            serde_json::to_value(ApiError { code: refusal.code().into(), message: refusal.to_string() }).ok()
        }
        _ => None,
    }
}

fn type_names() -> std::collections::BTreeSet<&'static str> {
    let named = OPERATIONS.iter().flat_map(|operation| operation.takes.into_iter().chain([operation.gives]));
    named.chain(["ApiError"]).filter(|name| is_type(name)).collect()
}

impl Operation {
    fn item(&self) -> PathItem {
        let mut operation = OperationBuilder::new().summary(Some(self.summary));
        for name in self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .build(),
            );
        }
        for name in self.query {
            operation = operation
                .parameter(ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Query).build());
        }
        if let Some(takes) = self.takes {
            let body = RequestBodyBuilder::new()
                .content(media_type(takes), content(takes))
                .required(Some(Required::True));
            operation = operation.request_body(Some(body.build()));
        }
        if self.is_private {
            operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>("read_token", []));
        }
        let answer = ResponseBuilder::new()
            .description(self.gives)
            .content(media_type(self.gives), content(self.gives));
        let error = ResponseBuilder::new()
            .description("What is wrong and what to do")
            .content("application/json", content("ApiError"));
        let responses =
            ResponsesBuilder::new().response("200", answer.build()).response("default", error.build());
        PathItem::new(self.method.clone(), operation.responses(responses.build()).build())
    }
}

/// Whether a name is that of one type; lists and plain bytes are not.
fn is_type(name: &str) -> bool {
    name.starts_with(char::is_uppercase) && !name.ends_with("[]")
}

fn media_type(name: &str) -> &'static str {
    match name {
        "bytes" => "application/octet-stream",
        "text" => "text/plain",
        "PlacedEvent" => "text/event-stream",
        _ => "application/json",
    }
}

fn content(name: &str) -> utoipa::openapi::Content {
    let schema = is_type(name).then(|| Ref::from_schema_name(name));
    ContentBuilder::new().schema(schema).build()
}
