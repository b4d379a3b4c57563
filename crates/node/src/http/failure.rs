//! What goes wrong, as the answer to a request: a status, a stable code and a sentence.

use crate::{api::ApiError, venue::Refusal};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use market::{
    rejection::Rejection,
    statement::{MAX_PAYLOAD_BYTES, StatementError},
};

/// A request that was not served.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    status: StatusCode,
    error: ApiError,
    retry_after_s: Option<u32>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Failure {
        let error = ApiError { code: code.into(), message: message.into() };
        Failure { status, error, retry_after_s: None }
    }

    /// The request makes no sense.
    pub(super) fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// There is no such thing.
    pub(super) fn not_found(what: impl std::fmt::Display) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// It is somebody else's.
    pub(super) fn forbidden(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// No token, or one that is worth nothing.
    pub(super) fn unauthorized(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// Too much of something.
    pub(super) fn too_large(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// Too often.
    pub(super) fn too_many(message: impl Into<String>) -> Failure {
        let failure = Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message);
        Failure { retry_after_s: Some(1), ..failure }
    }

    /// Not now.
    pub(super) fn unavailable(code: &str, message: impl Into<String>) -> Failure {
        let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        Failure { retry_after_s: Some(1), ..failure }
    }

    /// The market is going down.
    pub(super) fn stopping() -> Failure {
        Failure::unavailable("stopping", "the market is stopping: try again in a moment")
    }

    /// Something that the operator has to look at.
    pub(super) fn internal(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.error)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StatementError> for Failure {
    fn from(error: StatementError) -> Failure {
        let (status, code) = match &error {
            StatementError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            StatementError::Unreadable { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "unreadable"),
            StatementError::Version { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "version"),
            StatementError::WrongVenue { .. } => (StatusCode::FORBIDDEN, "wrong_venue"),
            StatementError::BadSignature => (StatusCode::FORBIDDEN, "bad_signature"),
        };
        Failure::new(status, code, error.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match &refusal {
            Refusal::Rejected(rejection) => {
                Failure::new(status_of(rejection), rejection.code(), rejection.to_string())
            }
            Refusal::DiskFull => Failure::unavailable("read_only", refusal.to_string()),
        }
    }
}

fn status_of(rejection: &Rejection) -> StatusCode {
    match rejection {
        Rejection::UnknownSigner | Rejection::NotAllowed { .. } => StatusCode::FORBIDDEN,
        Rejection::Unknown(_) => StatusCode::NOT_FOUND,
        Rejection::InsufficientFunds { .. } => StatusCode::PAYMENT_REQUIRED,
        Rejection::Flaw(_) | Rejection::Overflow(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Rejection::Expired { .. }
        | Rejection::LifetimeTooLong { .. }
        | Rejection::Duplicate { .. }
        | Rejection::UnknownHead { .. }
        | Rejection::Conflict { .. }
        | Rejection::BalanceCap { .. }
        | Rejection::Fenced { .. }
        | Rejection::SealBroken { .. }
        | Rejection::BadLink { .. }
        | Rejection::BadPreimage { .. }
        | Rejection::VenueOwes { .. }
        | Rejection::InvoiceUsed
        | Rejection::Batch(_) => StatusCode::CONFLICT,
    }
}

/// The largest body of a statement: its payload is a JSON string within JSON, and each quote is escaped there.
pub(super) const STATEMENT_BODY_BYTES: usize = 2 * MAX_PAYLOAD_BYTES + 4_096;
