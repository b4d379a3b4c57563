//! Taking requests apart, with an answer in JSON for whatever is wrong with them.

use super::failure::{Failure, STATEMENT_BODY_BYTES};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use std::{fmt::Display, str::FromStr};

/// A JSON body; unknown fields are for the type to refuse.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<JsonBody<T>, Failure> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "send JSON, with the header `Content-Type: application/json`",
            ));
        }
        let body = Bytes::from_request(request, state).await.map_err(unreadable_body)?;
        serde_json::from_slice(&body).map(JsonBody).map_err(|error| {
            let status =
                if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            Failure::new(status, "unreadable", format!("the body cannot be read: {error}"))
        })
    }
}

fn unreadable_body(rejection: BytesRejection) -> Failure {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Failure::too_large(format!("the body is larger than {STATEMENT_BODY_BYTES} bytes: split the batch"))
    } else {
        Failure::bad_request(format!("the body broke off: {}", rejection.body_text()))
    }
}

/// The query of a request.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Params<T>, Failure> {
        let query = Query::from_request_parts(parts, state).await;
        query
            .map(|Query(params)| Params(params))
            .map_err(|rejection| Failure::bad_request(rejection.body_text()))
    }
}

/// The one id in a path.
pub(super) struct Id<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T>
where
    T::Err: Display,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Id<T>, Failure> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Failure::bad_request(rejection.body_text()))?;
        text.parse().map(Id).map_err(|error: T::Err| Failure::bad_request(error.to_string()))
    }
}
