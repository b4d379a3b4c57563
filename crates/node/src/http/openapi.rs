//! What `/openapi.json` says: every path, what it takes and what it gives.

mod shape;
mod shapes;

use super::views::{InvoiceBody, PayBody, WalletBody};
use crate::api::{
    Accepted, AccountView, ApiError, BlobStored, Board, DevInvoice, DevPayment, JobView, KeyView,
    LeaseResult, LeaseView, MachineView, OfferView, PartyView, PlacedEvent, Quote, QuoteRequest, TaskView,
    TokenGiven, TokenRequest, TokenView, TopupView, VenueInfo, WithdrawalView, WorkView,
};
use market::{
    command::Command,
    engine::explain::{WhyIdle, WhyOrder},
    id::PartyId,
    key::SecretKey,
    log::{ConsistencyProof, Head, InclusionProof, SignedHead},
    receipt::Receipt,
    rejection::Rejection,
    reply::Reply,
    statement::{Payload, Statement},
    units::TimeMs,
};
use shape::{Schemas, Shape};
use utoipa::openapi::{
    ComponentsBuilder, Content, ContentBuilder, HeaderBuilder, HttpMethod, InfoBuilder, OpenApi,
    OpenApiBuilder, PathItem, PathsBuilder, RefOr, Required, ResponseBuilder, ResponsesBuilder, Schema,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
};

/// What is in a body.
#[derive(Clone, Copy)]
enum Body {
    /// Nothing.
    Nothing,
    /// A text for people or for Prometheus.
    Text,
    /// The bytes of a blob.
    Bytes,
    /// JSON.
    Json(fn(&mut Schemas) -> RefOr<Schema>),
    /// A stream of server-sent events with JSON in them.
    Stream(fn(&mut Schemas) -> RefOr<Schema>),
}

/// One operation: method, path, summary, query parameters, body, answer, whether it needs a read token, whether the operator
/// may charge for it.
struct Operation {
    method: HttpMethod,
    path: &'static str,
    summary: &'static str,
    query: &'static [&'static str],
    takes: Body,
    gives: Body,
    is_private: bool,
    is_paid: bool,
}

const fn json<T: Shape>() -> Body {
    Body::Json(T::shape)
}

const fn answers(path: &'static str, summary: &'static str, gives: Body) -> Operation {
    let (method, takes) = (HttpMethod::Get, Body::Nothing);
    Operation { method, path, summary, query: &[], takes, gives, is_private: false, is_paid: false }
}

const fn get<T: Shape>(path: &'static str, summary: &'static str) -> Operation {
    answers(path, summary, json::<T>())
}

const fn post<T: Shape>(path: &'static str, summary: &'static str, gives: Body) -> Operation {
    Operation { method: HttpMethod::Post, takes: json::<T>(), ..answers(path, summary, gives) }
}

const fn private(operation: Operation) -> Operation {
    Operation { is_private: true, ..operation }
}

const fn paid(operation: Operation) -> Operation {
    Operation { is_paid: true, ..operation }
}

const fn with(query: &'static [&'static str], operation: Operation) -> Operation {
    Operation { query, ..operation }
}

/// Everything that the market answers to; `router` is checked against it.
const OPERATIONS: &[Operation] = &[
    post::<Statement>(
        "/v1/statements",
        "Hand in a signed statement: the one way to change anything",
        json::<Accepted>(),
    ),
    get::<VenueInfo>("/v1/venue", "What the market says about itself"),
    get::<Board>("/v1/board", "The market at a glance"),
    get::<KeyView>("/v1/keys/{key}", "What a key is here"),
    private(with(
        &["machine", "revision", "wait_ms"],
        get::<WorkView>("/v1/work", "What a machine has to do; waits until that differs from `revision`"),
    )),
    with(
        &["after"],
        answers(
            "/v1/events",
            "What happens, as server-sent events; `id` is the cursor",
            Body::Stream(PlacedEvent::shape),
        ),
    ),
    with(
        &["after", "limit", "machine", "party"],
        get::<Vec<OfferView>>("/v1/offers", "Standing offers by id"),
    ),
    get::<OfferView>("/v1/offers/{offer}", "A standing offer"),
    paid(answers(
        "/v1/offers/stream",
        "Standing offers, then each that changes (`offer`) or goes (`withdrawn`), as server-sent events",
        Body::Stream(OfferView::shape),
    )),
    get::<WhyIdle>("/v1/offers/{offer}/why-idle", "Why an offer has no work, and what would have won"),
    post::<QuoteRequest>("/v1/quotes", "What a job would cost on the live offers", json::<Quote>()),
    private(get::<WhyOrder>("/v1/orders/{order}/why", "Why an order has no more leases")),
    private(get::<Vec<JobView>>("/v1/jobs", "Your jobs, the newest first")),
    private(get::<JobView>("/v1/jobs/{job}", "A job of yours")),
    private(get::<Vec<TaskView>>("/v1/jobs/{job}/tasks", "The tasks of a job of yours")),
    get::<LeaseView>("/v1/leases/{lease}", "A lease"),
    private(get::<Vec<LeaseResult>>(
        "/v1/leases/{lease}/results",
        "Attempts under a lease of yours, or of the token in the header `Macaroon`, that have their verdict",
    )),
    private(post::<TokenRequest>(
        "/v1/leases/{lease}/token",
        "A token with which others can read a lease of yours",
        json::<TokenGiven>(),
    )),
    get::<TokenView>("/v1/token", "What the token in the header `Macaroon` or `Authorization` is good for"),
    with(&["party"], get::<Vec<MachineView>>("/v1/machines", "The machines of a party")),
    get::<MachineView>("/v1/machines/{machine}", "A machine"),
    get::<PartyView>("/v1/parties/{party}", "A party and its reputation"),
    private(get::<AccountView>("/v1/account", "Your money")),
    private(get::<TopupView>("/v1/topups/{topup}", "A top-up of yours")),
    private(get::<WithdrawalView>("/v1/withdrawals/{withdrawal}", "A withdrawal of yours")),
    private(get::<Receipt>("/v1/receipts/{job}", "The receipt of a job that you had a part in")),
    get::<SignedHead>("/v1/log/head", "The newest signed head of the public log"),
    with(
        &["start", "limit"],
        get::<Vec<PlacedEvent>>("/v1/log/entries", "Entries of the public log, as they were hashed"),
    ),
    with(&["index", "size"], get::<InclusionProof>("/v1/log/inclusion", "Proof that an event is in the log")),
    with(
        &["old", "new"],
        get::<ConsistencyProof>("/v1/log/consistency", "Proof that one log continues another"),
    ),
    paid(private(answers("/v1/blobs/{digest}", "A blob, or a range of it", Body::Bytes))),
    private(Operation {
        method: HttpMethod::Head,
        ..answers("/v1/blobs/{digest}", "Whether a blob is stored", Body::Nothing)
    }),
    private(Operation {
        method: HttpMethod::Put,
        takes: Body::Bytes,
        ..get::<BlobStored>("/v1/blobs/{digest}", "Store a blob under its BLAKE3 digest")
    }),
    post::<PayBody>(
        "/v1/dev/pay",
        "Pay an invoice with play money, where the market has some",
        json::<DevPayment>(),
    ),
    post::<InvoiceBody>(
        "/v1/dev/invoice",
        "An invoice of a play-money wallet to withdraw to",
        json::<DevInvoice>(),
    ),
    post::<WalletBody>(
        "/v1/dev/lightning",
        "Use a Lightning node of play money in the market's process; whoever knows the wallet's secret owns it",
        json::<pay::dev::Answer>(),
    ),
    answers("/healthz", "Whether it takes statements and can pay what it owes", Body::Text),
    answers("/metrics", "Counters in the OpenMetrics format", Body::Text),
];

/// The document.
pub(super) fn document() -> OpenApi {
    let (mut paths, mut schemas) = (PathsBuilder::new(), Schemas::default());
    for operation in OPERATIONS {
        paths = paths.path(operation.path, operation.item(&mut schemas));
    }
    let mut components = ComponentsBuilder::new().security_scheme(
        "read_token",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "Authorization",
            "`Grist KEY.EXPIRES_MS.SIGNATURE`: a registered key's signature over venue key and expiry, good for at most an hour",
        ))),
    );
    components = components.security_scheme(
        "l402",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "Authorization",
            "`L402 TOKEN:PREIMAGE`: the token of a 402 answer, and the preimage that paying its invoice gave",
        ))),
    );
    for (name, mut schema) in schemas.0 {
        if let Schema::Object(object) = &mut schema {
            object.examples.extend(example(name));
        }
        components = components.schema(name, schema);
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

impl Operation {
    fn item(&self, schemas: &mut Schemas) -> PathItem {
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
        if let Some((media, content)) = self.takes.content(schemas) {
            let body = RequestBodyBuilder::new().content(media, content).required(Some(Required::True));
            operation = operation.request_body(Some(body.build()));
        }
        if self.is_private {
            operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>("read_token", []));
        }
        if self.is_paid {
            operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>("l402", []));
        }
        let mut answer = ResponseBuilder::new().description(self.summary);
        if let Some((media, content)) = self.gives.content(schemas) {
            answer = answer.content(media, content);
        }
        let mut error = ResponseBuilder::new().description("What is wrong and what to do");
        if let Some((media, content)) = json::<ApiError>().content(schemas) {
            error = error.content(media, content);
        }
        let error = error.build();
        let mut responses =
            ResponsesBuilder::new().response("200", answer.build()).response("default", error.clone());
        if self.is_paid {
            let challenge = HeaderBuilder::new()
                .description(Some(
                    "`L402 macaroon=\"TOKEN\", invoice=\"BOLT11\", version=\"0\", token=\"TOKEN\"`",
                ))
                .build();
            let mut due = error;
            due.description = "It costs something here: pay the invoice".to_owned();
            due.headers.insert("WWW-Authenticate".to_owned(), challenge);
            responses = responses.response("402", due);
        }
        PathItem::new(self.method.clone(), operation.responses(responses.build()).build())
    }
}

impl Body {
    /// Its media type, and what it looks like; `None` when there is none.
    fn content(self, schemas: &mut Schemas) -> Option<(&'static str, Content)> {
        let (media, schema) = match self {
            Body::Nothing => return None,
            Body::Text => ("text/plain", None),
            Body::Bytes => ("application/octet-stream", None),
            Body::Json(shape) => ("application/json", Some(shape(schemas))),
            Body::Stream(shape) => ("text/event-stream", Some(shape(schemas))),
        };
        Some((media, ContentBuilder::new().schema(schema).build()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Follows references, lists and choices down to something with fields, a word to choose from, or a plain value.
    fn says_something(schema: &Value, document: &Value) -> bool {
        if let Some(name) = schema["$ref"].as_str() {
            return says_something(
                &document["components"]["schemas"][name.rsplit('/').next().unwrap()],
                document,
            );
        }
        match (&schema["items"], schema["oneOf"].as_array(), schema["properties"].as_object()) {
            (Value::Object(_), _, _) => says_something(&schema["items"], document),
            (_, Some(choices), _) => choices.iter().any(|choice| says_something(choice, document)),
            (_, _, Some(fields)) => !fields.is_empty(),
            (_, _, None) => false,
        }
    }

    #[test]
    fn every_answer_in_json_has_its_fields_described() {
        let document = serde_json::to_value(document()).unwrap();
        let mut count = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let bodies = [
                    &operation["requestBody"],
                    &operation["responses"]["200"],
                    &operation["responses"]["default"],
                ];
                for (media, content) in bodies.iter().filter_map(|body| body["content"].as_object()).flatten()
                {
                    if media == "application/json" || media == "text/event-stream" {
                        assert!(says_something(&content["schema"], &document), "{method} {path}: {content}");
                        count += 1;
                    }
                }
            }
        }
        assert!(count > 50, "{count}");
    }

    #[test]
    fn what_may_cost_something_says_so() {
        let document = serde_json::to_value(document()).unwrap();
        for path in ["/v1/blobs/{digest}", "/v1/offers/stream"] {
            let answer = &document["paths"][path]["get"]["responses"]["402"];
            assert!(answer["headers"]["WWW-Authenticate"].is_object(), "{path}: {answer}");
        }
        assert!(document["paths"]["/v1/offers"]["get"]["responses"]["402"].is_null());
    }

    #[test]
    fn what_is_described_is_what_is_sent() {
        let document = serde_json::to_value(document()).unwrap();
        for name in ["Statement", "Accepted", "ApiError"] {
            let (sent, schema) = (example(name).unwrap(), &document["components"]["schemas"][name]);
            let described: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
            let mut sent: Vec<_> = sent.as_object().unwrap().keys().collect();
            sent.sort();
            let mut sorted = described.clone();
            sorted.sort();
            assert_eq!(sorted, sent, "{name}");
            assert!(schema["examples"][0].is_object(), "{schema}");
        }
        let outcome = &document["components"]["schemas"]["JobOutcome"]["enum"];
        assert_eq!(outcome[3], serde_json::to_value(market::event::JobOutcome::OutOfFunds).unwrap());
        let isolation = &document["components"]["schemas"]["Isolation"]["enum"];
        assert_eq!(isolation[1], serde_json::to_value(market::resources::Isolation::WasmConfined).unwrap());
    }
}
