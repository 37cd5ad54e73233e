//! Writes small MMDB files (format 2.0, IPv6 tree, records of 32 bits), so that addresses can be looked up.
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

const EMPTY: usize = usize::MAX;

/// A file with a record for each network, none of which contains another.
pub fn file(networks: &[(&str, Value)]) -> Vec<u8> {
    let mut nodes = vec![[EMPTY; 2]];
    let mut data = Vec::new();
    let mut leaves = Vec::new();
    for (text, record) in networks {
        let bits = bits(text);
        let mut at = 0;
        for bit in &bits[..bits.len() - 1] {
            if nodes[at][*bit] == EMPTY {
                nodes.push([EMPTY; 2]);
                nodes[at][*bit] = nodes.len() - 1;
            }
            at = nodes[at][*bit];
        }
        leaves.push((at, bits[bits.len() - 1], data.len()));
        encode(record, &mut data);
    }
    let count = nodes.len();
    let mut tree: Vec<[usize; 2]> =
        nodes.iter().map(|n| n.map(|at| if at == EMPTY { count } else { at })).collect();
    for (at, side, offset) in leaves {
        tree[at][side] = count + 16 + offset;
    }
    let mut out: Vec<u8> =
        tree.iter().flatten().flat_map(|at| u32::try_from(*at).expect("small").to_be_bytes()).collect();
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    metadata(count, &mut out);
    out
}

fn bits(network: &str) -> Vec<usize> {
    let (ip, length) = network.split_once('/').expect("a network");
    let length: usize = length.parse().expect("a length");
    let (ip, length) = match ip.parse::<IpAddr>().expect("an address") {
        IpAddr::V4(v4) => (Ipv6Addr::from(u128::from(u32::from(v4))), length + 96),
        IpAddr::V6(v6) => (v6, length),
    };
    (0..length).map(|n| usize::from(u128::from(ip) >> (127 - n) & 1 == 1)).collect()
}

fn metadata(count: usize, out: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let numbers = [
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("build_epoch", 9, now),
        ("ip_version", 5, 6),
        ("node_count", 6, count as u64),
        ("record_size", 5, 32),
    ];
    control(7, numbers.len() + 3, out);
    for (name, kind, value) in numbers {
        encode(&json!(name), out);
        let bytes = value.to_be_bytes();
        let short: &[u8] = &bytes[value.leading_zeros() as usize / 8..];
        control(kind, short.len(), out);
        out.extend(short);
    }
    for (name, value) in
        [("database_type", json!("Test")), ("description", json!({})), ("languages", json!([]))]
    {
        encode(&json!(name), out);
        encode(&value, out);
    }
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(b) => control(14, usize::from(*b), out),
        Value::String(text) => {
            control(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Array(list) => {
            control(11, list.len(), out);
            for one in list {
                encode(one, out);
            }
        }
        Value::Object(map) => object(map, out),
        other => panic!("no form for {other}"),
    }
}

fn object(map: &Map<String, Value>, out: &mut Vec<u8>) {
    control(7, map.len(), out);
    for (name, one) in map {
        encode(&json!(name), out);
        encode(one, out);
    }
}

fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (short, more) = if size < 29 { (size, None) } else { (29, Some(size - 29)) };
    let short = u8::try_from(short).expect("small");
    out.push(if kind <= 7 { kind << 5 | short } else { short });
    if kind > 7 {
        out.push(kind - 7);
    }
    out.extend(more.map(|n| u8::try_from(n).expect("small")));
}
