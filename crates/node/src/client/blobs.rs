//! Blobs: uploaded under their digest, and checked against it when they come back.

use super::{ClientError, Market, tokens::with_token};
use crate::api::BlobStored;
use bytes::Bytes;
use futures_util::StreamExt;
use market::{id::Digest, key::SecretKey};
use pay::l402::Token;
use reqwest::{Method, StatusCode, header};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// How long nothing may arrive before a transfer is tried again.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 << 10;

impl Market {
    /// Stores bytes and says their digest. What is stored already is not sent again.
    pub async fn put_blob(&self, secret: &SecretKey, bytes: impl Into<Bytes>) -> Result<Digest, ClientError> {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        if self.has_blob(secret, digest).await? {
            return Ok(digest);
        }
        let stored: BlobStored = self
            .retried(|| async {
                let request = self.request(Method::PUT, &blob_path(digest), Some(secret)).body(bytes.clone());
                self.decode(self.attempt(request).await?).await
            })
            .await?;
        expect_digest(stored.digest, digest)
    }

    /// Stores a file without holding it in memory, and says its digest and size.
    pub async fn put_blob_file(&self, secret: &SecretKey, file: &Path) -> Result<(Digest, u64), ClientError> {
        let (digest, bytes) = hash_file(file).await?;
        if self.has_blob(secret, digest).await? {
            return Ok((digest, bytes));
        }
        let stored: BlobStored = self
            .retried(|| async {
                let opened = tokio::fs::File::open(file).await.map_err(|e| file_error(file, e))?;
                let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::with_capacity(
                    opened,
                    CHUNK_BYTES,
                ));
                let request = self
                    .request(Method::PUT, &blob_path(digest), Some(secret))
                    .header(header::CONTENT_LENGTH, bytes)
                    .body(body);
                self.decode(self.attempt(request).await?).await
            })
            .await?;
        expect_digest(stored.digest, digest).map(|digest| (digest, bytes))
    }

    /// Whether a blob is stored.
    pub async fn has_blob(&self, secret: &SecretKey, digest: Digest) -> Result<bool, ClientError> {
        let found = self
            .retried(|| async {
                self.attempt(self.request(Method::HEAD, &blob_path(digest), Some(secret))).await
            })
            .await;
        match found {
            Ok(_) => Ok(true),
            Err(ClientError::Refused { status: 404, .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Fetches a blob of at most `max_bytes` into memory and checks its digest.
    pub async fn get_blob(
        &self,
        secret: &SecretKey,
        digest: Digest,
        max_bytes: u64,
    ) -> Result<Bytes, ClientError> {
        self.get_blob_as(Access::Key(secret), digest, max_bytes).await
    }

    /// As [`Market::get_blob`], with whatever gives access.
    pub(super) async fn get_blob_as(
        &self,
        access: Access<'_>,
        digest: Digest,
        max_bytes: u64,
    ) -> Result<Bytes, ClientError> {
        let (mut content, mut tries) = (Vec::new(), self.tries());
        while let Err(error) = self.receive(access, digest, max_bytes, &mut content).await {
            tries.again(error).await?;
        }
        tries.answered();
        expect_digest(Digest::of(&content), digest)?;
        Ok(content.into())
    }

    /// Fetches a blob into a file, which is there in whole and checked, or not at all. An interrupted transfer goes on
    /// where it stopped.
    pub async fn get_blob_file(
        &self,
        secret: &SecretKey,
        digest: Digest,
        file: &Path,
    ) -> Result<u64, ClientError> {
        let part = part_name(file);
        let mut open = tokio::fs::OpenOptions::new();
        let open = open.create(true).truncate(false).read(true).write(true).open(&part);
        let mut output = open.await.map_err(|e| file_error(&part, e))?;
        let mut tries = self.tries();
        while let Err(error) = self.receive_file(secret, digest, &mut output, &part).await {
            tries.again(error).await?;
        }
        tries.answered();
        drop(output);
        let (found, bytes) = hash_file(&part).await?;
        if found != digest {
            tokio::fs::remove_file(&part).await.map_err(|e| file_error(&part, e))?;
            return Err(ClientError::BlobMismatch(digest));
        }
        tokio::fs::rename(&part, file).await.map_err(|e| file_error(file, e))?;
        Ok(bytes)
    }

    /// Receives what is missing of a blob.
    async fn receive(
        &self,
        access: Access<'_>,
        digest: Digest,
        max_bytes: u64,
        content: &mut Vec<u8>,
    ) -> Result<(), ClientError> {
        let mut chunks = self.open_blob(access, digest, content.len() as u64).await?.bytes_stream();
        while let Some(chunk) = next_chunk(self, &mut chunks).await? {
            if content.len() as u64 + chunk.len() as u64 > max_bytes {
                return Err(ClientError::BlobMismatch(digest));
            }
            content.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// Receives what is missing of a file.
    async fn receive_file(
        &self,
        secret: &SecretKey,
        digest: Digest,
        output: &mut tokio::fs::File,
        part: &Path,
    ) -> Result<(), ClientError> {
        let have = output.seek(std::io::SeekFrom::End(0)).await.map_err(|e| file_error(part, e))?;
        let mut chunks = self.open_blob(Access::Key(secret), digest, have).await?.bytes_stream();
        while let Some(chunk) = next_chunk(self, &mut chunks).await? {
            output.write_all(&chunk).await.map_err(|e| file_error(part, e))?;
        }
        output.flush().await.map_err(|e| file_error(part, e))
    }

    /// Opens a blob from an offset on.
    async fn open_blob(
        &self,
        access: Access<'_>,
        digest: Digest,
        from: u64,
    ) -> Result<BlobBody, ClientError> {
        let path = blob_path(digest);
        let request = match access {
            Access::Key(secret) => self.request(Method::GET, &path, Some(secret)),
            Access::Token(token) => with_token(self.request(Method::GET, &path, None), token)?,
        };
        if from == 0 {
            return self.attempt(request).await.map(BlobBody::Rest);
        }
        match self.attempt(request.header(header::RANGE, format!("bytes={from}-"))).await {
            Ok(response) if response.status() == StatusCode::PARTIAL_CONTENT => Ok(BlobBody::Rest(response)),
            Ok(_) => Err(ClientError::Garbled { reason: "a range was asked for and not given".into() }),
            // Everything had arrived already.
            Err(ClientError::Refused { status: 416, .. }) => Ok(BlobBody::Nothing),
            Err(e) => Err(e),
        }
    }
}

/// What lets somebody read a blob.
#[derive(Clone, Copy)]
pub(super) enum Access<'a> {
    /// A registered key; if the blob costs something, the market's payer pays.
    Key(&'a SecretKey),
    /// A token that was given.
    Token(&'a Token),
}

enum BlobBody {
    Rest(reqwest::Response),
    Nothing,
}

type Chunks = futures_util::stream::BoxStream<'static, reqwest::Result<Bytes>>;

impl BlobBody {
    fn bytes_stream(self) -> Chunks {
        match self {
            BlobBody::Rest(response) => response.bytes_stream().boxed(),
            BlobBody::Nothing => futures_util::stream::empty().boxed(),
        }
    }
}

async fn next_chunk(market: &Market, chunks: &mut Chunks) -> Result<Option<Bytes>, ClientError> {
    match tokio::time::timeout(STALL_LIMIT, chunks.next()).await {
        Ok(chunk) => chunk.transpose().map_err(|e| market.unreachable(&e)),
        Err(_) => Err(ClientError::Unreachable {
            address: market.address().to_string(),
            reason: "a transfer stalled".into(),
        }),
    }
}

fn blob_path(digest: Digest) -> String {
    format!("/v1/blobs/{digest}")
}

fn expect_digest(found: Digest, digest: Digest) -> Result<Digest, ClientError> {
    if found == digest { Ok(digest) } else { Err(ClientError::BlobMismatch(digest)) }
}

fn part_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

async fn hash_file(file: &Path) -> Result<(Digest, u64), ClientError> {
    let mut opened = tokio::fs::File::open(file).await.map_err(|e| file_error(file, e))?;
    let (mut hasher, mut total, mut chunk) = (blake3::Hasher::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        let count = opened.read(&mut chunk).await.map_err(|e| file_error(file, e))?;
        if count == 0 {
            return Ok((Digest(*hasher.finalize().as_bytes()), total));
        }
        hasher.update(&chunk[..count]);
        total += count as u64;
    }
}

fn file_error(file: &Path, source: std::io::Error) -> ClientError {
    ClientError::File { file: file.to_owned(), source }
}
