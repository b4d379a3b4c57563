//! `/v1/blobs/{digest}`: for everybody who has a key here, and for those who bring a token ([`super::tolls`]).

use super::{
    blob_store::{BlobError, Part},
    extract::Id,
    failure::Failure,
    shared::App,
    writer,
};
use crate::api::BlobStored;
use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use market::id::Digest;
use pay::l402::Rights;

pub(super) async fn put(
    State(app): State<App>,
    Id(digest): Id<Digest>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BlobStored>, Failure> {
    let party = app.member(&headers).await?;
    let _place = app.guards.transfer()?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let bytes = app.blobs.put(party, digest, announced, body.into_data_stream(), writer::now()).await?;
    Ok(Json(BlobStored { digest, bytes }))
}

pub(super) async fn head(
    State(app): State<App>,
    Id(digest): Id<Digest>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    app.member(&headers).await?;
    let bytes = app.blobs.size(&digest, writer::now()).ok_or(BlobError::Missing(digest))?;
    let headers = [
        (header::CONTENT_LENGTH, HeaderValue::from(bytes)),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
    ];
    Ok((headers, Body::empty()).into_response())
}

pub(super) async fn get(
    State(app): State<App>,
    Id(digest): Id<Digest>,
    token: Option<Extension<Rights>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if token.is_none() {
        app.member(&headers).await?;
    }
    let place = app.guards.transfer()?;
    let part = match headers.get(header::RANGE) {
        None => Part::Whole,
        Some(value) => value.to_str().ok().and_then(range).ok_or_else(|| {
            Failure::bad_request(
                "the Range header has to name one range of bytes, like `bytes=100-` or `bytes=0-99`",
            )
        })?,
    };
    let opened = app.blobs.get(digest, part, writer::now()).await?;
    let length = opened.range.end - opened.range.start;
    let content = futures_util::StreamExt::map(opened.content, move |chunk| {
        // Held until the last byte is out.
        let _ = &place;
        chunk
    });
    let mut response = Body::from_stream(content).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if part != Part::Whole {
        let span = format!("bytes {}-{}/{}", opened.range.start, opened.range.end - 1, opened.bytes);
        headers.extend(HeaderValue::from_str(&span).ok().map(|span| (header::CONTENT_RANGE, span)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Reads a range (RFC 9110, section 14.1.2); one span only.
fn range(text: &str) -> Option<Part> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (from.trim(), to.trim()) {
        ("", last) => last.parse().ok().map(Part::Last),
        (from, "") => Some(Part::Span { from: from.parse().ok()?, to: u64::MAX }),
        (from, to) => {
            Some(Part::Span { from: from.parse().ok()?, to: to.parse::<u64>().ok()?.checked_add(1)? })
        }
    }
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Failure {
        let (status, code) = match &error {
            BlobError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            BlobError::Quota { .. } => (StatusCode::INSUFFICIENT_STORAGE, "quota"),
            BlobError::Mismatch { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "blob_mismatch"),
            BlobError::BrokenOff(_) => (StatusCode::BAD_REQUEST, "broken_off"),
            BlobError::Missing(_) => (StatusCode::NOT_FOUND, "not_found"),
            BlobError::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range"),
            BlobError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "blob_store"),
        };
        Failure::new(status, code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        assert_eq!(range("bytes=0-99"), Some(Part::Span { from: 0, to: 100 }));
        assert_eq!(range("bytes=5-"), Some(Part::Span { from: 5, to: u64::MAX }));
        assert_eq!(range("bytes=-7"), Some(Part::Last(7)));
        for text in [
            "",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=0-18446744073709551615",
        ] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
