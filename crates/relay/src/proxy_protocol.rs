//! The PROXY protocol, version 2: for whom a trusted proxy connects, in binary before the first byte of TLS or
//! HTTP. Read with a bound and a deadline; a header that is not plain closes the connection.
use crate::address::Origin;
use crate::limits;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED: usize = 16;
const VERSION: u8 = 0x20;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
/// Type of the TLV that holds the `CRC32c` of the whole header.
const CRC32C: u8 = 0x03;

/// Reads a header; whom the connection is from.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Origin> {
    let wait = Duration::from_millis(limits::HANDSHAKE_MS);
    tokio::time::timeout(wait, whole(stream)).await?
}

async fn whole<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Origin> {
    let mut header = vec![0; FIXED];
    stream.read_exact(&mut header).await?;
    let more = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if header[..12] != SIGNATURE[..] || FIXED + more > limits::PROXY_HEADER_BYTES {
        return Err(malformed());
    }
    header.resize(FIXED + more, 0);
    stream.read_exact(&mut header[FIXED..]).await?;
    parse(&header).ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no plain PROXY header of version 2")
}

/// The origin that a whole header gives; nothing where it is malformed.
pub fn parse(header: &[u8]) -> Option<Origin> {
    let (fixed, rest) = header.split_at_checked(FIXED)?;
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[..12] != SIGNATURE[..] || fixed[12] & 0xf0 != VERSION || rest.len() != length {
        return None;
    }
    match fixed[12] & 0x0f {
        // The proxy speaks for itself; what follows is to be ignored.
        LOCAL => Some(Origin::Unclear),
        PROXY => proxied(header, fixed[13], rest),
        _ => None,
    }
}

fn proxied(header: &[u8], family: u8, rest: &[u8]) -> Option<Origin> {
    let (length, origin) = match family {
        // What follows an address of no family is nobody's business.
        0x00 => return Some(Origin::Unclear),
        0x11 => (12, v4(rest)?),
        0x21 => (36, v6(rest)?),
        // A Unix socket has no place.
        0x31 => (216, Origin::Unclear),
        _ => return None,
    };
    check_tlvs(header, rest.get(length..)?)?;
    Some(origin)
}

fn v4(rest: &[u8]) -> Option<Origin> {
    Some(origin(Ipv4Addr::from(*rest.first_chunk::<4>()?).into()))
}

fn v6(rest: &[u8]) -> Option<Origin> {
    Some(origin(IpAddr::from(Ipv6Addr::from(*rest.first_chunk::<16>()?)).to_canonical()))
}

fn origin(ip: IpAddr) -> Origin {
    if ip.is_unspecified() || ip.is_multicast() { Origin::Unclear } else { Origin::Peer(ip) }
}

/// TLVs fill the rest exactly, and a checksum among them is right.
fn check_tlvs(header: &[u8], mut tlvs: &[u8]) -> Option<()> {
    let mut summed = false;
    while !tlvs.is_empty() {
        let [kind, high, low] = *tlvs.first_chunk::<3>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = tlvs.get(3..3 + length)?;
        if kind == CRC32C {
            let at = header.len() - tlvs.len() + 3;
            let said = u32::from_be_bytes(value.try_into().ok()?);
            if summed || said != checksum(header, at) {
                return None;
            }
            summed = true;
        }
        tlvs = &tlvs[3 + length..];
    }
    Some(())
}

/// `CRC32c` of `header` with zeros in place of the four bytes at `at`.
fn checksum(header: &[u8], at: usize) -> u32 {
    let sum = crc32c::crc32c(&header[..at]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, &header[at + 4..])
}

#[cfg(test)]
mod tests;
