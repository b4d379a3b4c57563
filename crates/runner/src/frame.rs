//! Messages between a worker process and its parent: a small header and, for modules, files and outputs, bytes as they
//! are.
//!
//! A frame is two little-endian 32-bit lengths, the header in [postcard](https://postcard.jamesmunns.com) form, and the
//! body.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

/// The largest header: arguments, environment and the names of input files.
const MAX_HEADER_BYTES: u32 = 32 << 20;

/// Writes one frame.
pub(crate) fn write(pipe: &mut impl Write, header: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let header = postcard::to_stdvec(header).map_err(io::Error::other)?;
    let header_bytes = u32::try_from(header.len()).ok().filter(|&bytes| bytes <= MAX_HEADER_BYTES);
    let lengths = header_bytes.zip(u32::try_from(body.len()).ok());
    let (header_bytes, body_bytes) =
        lengths.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a message is too large"))?;
    let mut start = Vec::with_capacity(8 + header.len());
    start.extend_from_slice(&header_bytes.to_le_bytes());
    start.extend_from_slice(&body_bytes.to_le_bytes());
    start.extend_from_slice(&header);
    pipe.write_all(&start)?;
    pipe.write_all(body)?;
    pipe.flush()
}

/// Reads one frame whose body has at most `max_body_bytes`. The other side is not trusted: memory is taken as bytes
/// arrive, not as they are announced.
pub(crate) fn read<T: DeserializeOwned>(
    pipe: &mut impl Read,
    max_body_bytes: u64,
) -> io::Result<(T, Vec<u8>)> {
    let mut lengths = [0; 8];
    pipe.read_exact(&mut lengths)?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let (header_bytes, body_bytes) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if header_bytes > MAX_HEADER_BYTES || u64::from(body_bytes) > max_body_bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is larger than allowed"));
    }
    let header = read_bytes(pipe, header_bytes)?;
    let header =
        postcard::from_bytes(&header).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok((header, read_bytes(pipe, body_bytes)?))
}

fn read_bytes(pipe: &mut impl Read, len: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len.min(1 << 20) as usize);
    pipe.take(u64::from(len)).read_to_end(&mut bytes)?;
    if bytes.len() < len as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}
