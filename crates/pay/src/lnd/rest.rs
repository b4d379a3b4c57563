//! Requests to LND's REST interface, bounded in time and size, and what their failures mean.

use super::{
    OpenError, config::LndAddress, config::LndConfig, config::Macaroon, tls, wire::Status, wire::StreamLine,
};
use crate::node::Unavailable;
use reqwest::{RequestBuilder, Response, StatusCode, header::HeaderName};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer, or the first line of a stream, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is read. A payment lists each way that it tried, hop by hop.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Where the macaroon goes.
const MACAROON: HeaderName = HeaderName::from_static("grpc-metadata-macaroon");

/// `google.rpc.Code`, as far as it is looked at.
const CANCELLED: i32 = 1;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const PERMISSION_DENIED: i32 = 7;
const UNIMPLEMENTED: i32 = 12;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// There was no connection: nothing was sent.
    #[error("no connection to LND at {address}: {reason}")]
    NotSent { address: String, reason: String },
    /// The server there shows another certificate: nothing was sent.
    #[error(
        "the server at {0} does not show the certificate that was given: copy LND's tls.cert again if LND has a new one, \
         else somebody else answers there"
    )]
    OtherCertificate(String),
    /// It was sent, and nobody knows what LND made of it.
    #[error("LND did not answer: {0}")]
    NoAnswer(String),
    /// LND lets nobody in, or not this macaroon: it did not look at the request.
    #[error("{0}")]
    Denied(String),
    /// LND looked at the request and refused it.
    #[error("LND refuses: {}", .0.message)]
    Refused(Status),
}

impl From<CallError> for Unavailable {
    fn from(error: CallError) -> Unavailable {
        Unavailable(error.to_string())
    }
}

impl CallError {
    /// Whether LND cannot have begun anything.
    pub(super) fn is_before_anything(&self) -> bool {
        match self {
            CallError::NotSent { .. } | CallError::OtherCertificate(_) | CallError::Denied(_) => true,
            CallError::NoAnswer(_) | CallError::Refused(_) => false,
        }
    }

    /// Whether LND knows no invoice, or no payment, of a hash. Older ones say so without a code.
    pub(super) fn is_not_found(&self) -> bool {
        let says = |status: &Status| {
            let told = ["unable to locate invoice", "no existing invoices", "payment isn't initiated"];
            status.code == NOT_FOUND || told.iter().any(|words| status.message.contains(words))
        };
        matches!(self, CallError::Refused(status) if says(status))
    }

    /// Whether there is already an invoice on the hash, or a payment of it.
    pub(super) fn is_duplicate(&self) -> bool {
        let says = |status: &Status| {
            status.code == ALREADY_EXISTS || status.message.contains("payment hash already exists")
        };
        matches!(self, CallError::Refused(status) if says(status))
    }

    /// Whether LND says these words about the state of an invoice.
    pub(super) fn says(&self, words: &str) -> bool {
        matches!(self, CallError::Refused(status) if status.message.contains(words))
    }
}

/// What the gateway makes of an error, in its second version and, for streams, in its first.
#[derive(Deserialize)]
struct ErrorBody {
    code: Option<i32>,
    message: Option<String>,
    error: Option<serde_json::Value>,
}

/// A way to an LND.
pub(super) struct Rest {
    client: reqwest::Client,
    address: LndAddress,
    macaroon: Macaroon,
}

impl Rest {
    pub(super) fn open(config: &LndConfig) -> Result<Rest, OpenError> {
        let certificates = tls::certificates(&config.certificate.read_public()?);
        if certificates.is_empty() {
            return Err(OpenError::NoCertificate(config.certificate.to_string()));
        }
        let macaroon = Macaroon::read(&config.macaroon)?;
        let failed = |error: &dyn std::error::Error| OpenError::Tls(error.to_string());
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::pinned(certificates).map_err(|error| failed(&error))?)
            .https_only(true)
            // The macaroon goes to nobody else, and a payment is sent once.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Rest { client, address: config.address.clone(), macaroon })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.answer(self.client.get(self.address.at(path))).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        self.answer(self.client.post(self.address.at(path)).json(body)).await
    }

    /// The first line of a stream, which is then left.
    pub(super) async fn first_of<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.first_line(self.client.get(self.address.at(path))).await
    }

    /// The same after a request with a body.
    pub(super) async fn first_after<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        self.first_line(self.client.post(self.address.at(path)).json(body)).await
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CallError> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = self.read(response, false).await?;
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| nonsense(&error))
    }

    async fn first_line<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CallError> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = self.read(response, true).await?;
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        let line: StreamLine<T> = serde_json::from_slice(&body).map_err(|error| nonsense(&error))?;
        match (line.result, line.error) {
            (Some(result), _) => Ok(result),
            (None, Some(error)) => Err(meaning(error)),
            (None, None) => Err(CallError::NoAnswer("its answer is empty".into())),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        let not_sent = |reason: String| CallError::NotSent { address: self.address.to_string(), reason };
        let macaroon = self.macaroon.header().map_err(|error| not_sent(error.to_string()))?;
        request.header(MACAROON, macaroon).send().await.map_err(|error| {
            if tls::is_other_certificate(&error) {
                CallError::OtherCertificate(self.address.to_string())
            } else if error.is_connect() || error.is_builder() {
                not_sent(innermost(&error))
            } else {
                CallError::NoAnswer(innermost(&error))
            }
        })
    }

    async fn read(&self, mut response: Response, is_line: bool) -> Result<Vec<u8>, CallError> {
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| CallError::NoAnswer(innermost(&error)))?
        {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let most = ANSWER_BYTES_MAX >> 20;
                return Err(CallError::NoAnswer(format!("its answer is longer than {most} MiB")));
            }
            body.extend_from_slice(&chunk);
            if is_line && let Some(end) = body.iter().position(|byte| *byte == b'\n') {
                body.truncate(end);
                break;
            }
        }
        Ok(body)
    }
}

fn nonsense(error: &serde_json::Error) -> CallError {
    CallError::NoAnswer(format!("its answer makes no sense: {error}"))
}

/// What a body with an error says.
fn refused(status: StatusCode, body: &[u8]) -> CallError {
    let Ok(said) = serde_json::from_slice::<ErrorBody>(body) else {
        return CallError::NoAnswer(format!("what is there answers {status}, not as LND does"));
    };
    let within = said.error.and_then(|error| serde_json::from_value::<Status>(error).ok());
    match (within, said.message) {
        (Some(within), _) => meaning(within),
        (None, Some(message)) => meaning(Status { code: said.code.unwrap_or(0), message }),
        (None, None) => CallError::NoAnswer(format!("it answers {status} and does not say why")),
    }
}

/// Tells the refusals of LND's door from those of what was asked. At the door, most have no code but words.
fn meaning(status: Status) -> CallError {
    let (says, message) = (|words: &str| status.message.contains(words), &status.message);
    let denied = if says("wallet locked") {
        "LND's wallet is locked: run `lncli unlock`".to_owned()
    } else if says("wallet not created") {
        "LND has no wallet yet: run `lncli create`".to_owned()
    } else if says("waiting to start") || says("process of starting up") {
        "LND is still starting".to_owned()
    } else if says("permission denied") || status.code == PERMISSION_DENIED {
        format!("the macaroon does not allow this ({message}): bake one as docs/lightning.md says")
    } else if says("macaroon") || says("verification failed") || status.code == UNAUTHENTICATED {
        format!("LND does not accept the macaroon ({message}): is it of this LND, and still valid?")
    } else if message == "Not Found" || status.code == UNIMPLEMENTED {
        "LND does not know this request: a newer LND is needed".to_owned()
    } else if [CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE].contains(&status.code) {
        // The gateway lost LND, which may have heard the request.
        return CallError::NoAnswer(status.message);
    } else {
        return CallError::Refused(status);
    };
    CallError::Denied(denied)
}

/// What went wrong at the bottom; the layers above say less.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(http: u16, body: &str) -> CallError {
        refused(StatusCode::from_u16(http).unwrap(), body.as_bytes())
    }

    #[test]
    fn an_error_says_what_to_do_about_it() {
        let locked = "wallet locked, unlock it to enable full RPC access";
        for (http, message, code, wanted) in [
            (500, locked, 2, "lncli unlock"),
            (500, "waiting to start, RPC services not available", 2, "still starting"),
            (
                500,
                "the RPC server is in the process of starting up, but not yet ready to accept calls",
                2,
                "still",
            ),
            (500, "permission denied", 2, "bake one"),
            (
                500,
                "verification failed: signature mismatch after caveat verification",
                2,
                "accept the macaroon",
            ),
            (500, "cannot get macaroon: root key with id 0 doesn't exist", 2, "accept the macaroon"),
            (500, "expected 1 macaroon, got 0", 2, "accept the macaroon"),
            (404, "Not Found", 5, "newer LND"),
        ] {
            let error = of(http, &format!(r#"{{"code":{code},"message":"{message}","details":[]}}"#));
            assert!(matches!(error, CallError::Denied(_)) && error.is_before_anything(), "{error:?}");
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let unknown = of(404, r#"{"code":5,"message":"unable to locate invoice","details":[]}"#);
        let older =
            of(500, r#"{"error":"unable to locate invoice","code":2,"message":"unable to locate invoice"}"#);
        let stream = of(404, r#"{"error":{"code":5,"message":"payment isn't initiated","details":[]}}"#);
        for error in [unknown, older, stream] {
            assert!(error.is_not_found() && !error.is_duplicate(), "{error:?}");
        }
        let twice =
            of(500, r#"{"code":2,"message":"invoice with payment hash already exists","details":[]}"#);
        let paid = of(409, r#"{"error":{"code":6,"message":"invoice is already paid","details":[]}}"#);
        for error in [twice, paid] {
            assert!(
                error.is_duplicate() && !error.is_not_found() && !error.is_before_anything(),
                "{error:?}"
            );
        }
        assert!(of(500, r#"{"code":2,"message":"invoice still open"}"#).says("still open"));
    }

    #[test]
    fn what_is_not_lnd_decides_nothing() {
        let lost = of(503, r#"{"error":{"code":14,"message":"transport is closing","details":[]}}"#);
        assert!(matches!(lost, CallError::NoAnswer(_)) && !lost.is_before_anything(), "{lost:?}");
        for body in ["", "<html>Bad Gateway</html>", "{}", r#"{"detail":"x"}"#, "[1]"] {
            assert!(matches!(of(502, body), CallError::NoAnswer(_)), "{body}");
        }
    }
}
