//! Tokens about leases, and what is read with them.

use super::{ClientError, Market, REQUEST_TIMEOUT, blobs::Access};
use crate::api::{LeaseResult, TokenGiven, TokenRequest, TokenView};
use bytes::Bytes;
use market::{
    id::{Digest, LeaseId},
    key::SecretKey,
};
use pay::l402::{Credential, Token};
use reqwest::{Method, RequestBuilder};

/// Who reads about a lease.
#[derive(Debug, Clone)]
pub enum LeaseReader {
    /// A party of it.
    Party(SecretKey),
    /// Whoever holds a token that a party gave.
    Holder(Token),
}

impl Market {
    /// Asks for a token about a lease, for a party of it. It can be made narrower without asking: see [`Token::narrowed`].
    pub async fn lease_token(
        &self,
        party: &SecretKey,
        lease: LeaseId,
        request: &TokenRequest,
    ) -> Result<Token, ClientError> {
        let given: TokenGiven = self.post(&format!("/v1/leases/{lease}/token"), request, Some(party)).await?;
        Token::from_base64(&given.token).map_err(|e| ClientError::Garbled { reason: e.to_string() })
    }

    /// What the market says a token is good for.
    pub async fn token(&self, token: &Token) -> Result<TokenView, ClientError> {
        self.retried(|| async {
            let request = with_token(self.request(Method::GET, "/v1/token", None), token)?;
            self.decode(self.attempt(request.timeout(REQUEST_TIMEOUT)).await?).await
        })
        .await
    }

    /// The attempts under a lease that have their verdict.
    pub async fn lease_results(
        &self,
        reader: &LeaseReader,
        lease: LeaseId,
    ) -> Result<Vec<LeaseResult>, ClientError> {
        let path = format!("/v1/leases/{lease}/results");
        self.retried(|| async {
            let request = match reader {
                LeaseReader::Party(secret) => self.request(Method::GET, &path, Some(secret)),
                LeaseReader::Holder(token) => with_token(self.request(Method::GET, &path, None), token)?,
            };
            self.decode(self.attempt(request.timeout(REQUEST_TIMEOUT)).await?).await
        })
        .await
    }

    /// Fetches what a task wrote under a lease, at most `max_bytes`, and checks its digest.
    pub async fn lease_output(
        &self,
        reader: &LeaseReader,
        output: Digest,
        max_bytes: u64,
    ) -> Result<Bytes, ClientError> {
        let access = match reader {
            LeaseReader::Party(secret) => Access::Key(secret),
            LeaseReader::Holder(token) => Access::Token(token),
        };
        self.get_blob_as(access, output, max_bytes).await
    }
}

/// A token that was given has no preimage, so it travels alone.
pub(super) fn with_token(request: RequestBuilder, token: &Token) -> Result<RequestBuilder, ClientError> {
    let credential = Credential { token: token.clone(), preimage: None };
    let value = credential.macaroon().map_err(|e| ClientError::Encode(e.to_string()))?;
    Ok(request.header("macaroon", value))
}
