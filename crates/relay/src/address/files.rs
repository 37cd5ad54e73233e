//! The operator's MMDB files: an address to its country and kind. A kind is named only on evidence; while one
//! of the files cannot be read everything is `unknown`, since what it would have said is not known.
use super::{Country, Kind, Seen};
use crate::limits;
use maxminddb::Reader;
use serde_json::{Value, json};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Days after which a file is old: allocations move.
pub const OLD_DAYS: u64 = 90;

/// Fields that are true where an address hides who is behind it, at the top of a record or under `traits`.
const TOR: &[&str] = &["is_tor_exit_node", "tor"];
const VPN: &[&str] = &[
    "is_anonymous",
    "is_anonymous_proxy",
    "is_anonymous_vpn",
    "is_public_proxy",
    "is_residential_proxy",
    "is_satellite_provider_proxy",
    "vpn",
    "proxy",
    "relay",
];
const HOSTING: &[&str] = &["is_hosting_provider", "hosting"];

/// What `user_type` and `connection_type` say. Other words, `business` among them, are evidence of nothing.
const WORDS: &[(&str, Kind)] = &[
    ("residential", Kind::Residential),
    ("cable/dsl", Kind::Residential),
    ("dialup", Kind::Residential),
    ("cellular", Kind::Mobile),
    ("mobile", Kind::Mobile),
    ("hosting", Kind::Hosting),
    ("content_delivery_network", Kind::Hosting),
    ("search_engine_spider", Kind::Hosting),
    ("consumer_privacy_network", Kind::Vpn),
    ("vpn", Kind::Vpn),
    ("tor", Kind::Tor),
];

/// Why a file is not used.
#[derive(Debug)]
pub struct FileError(String);

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One file, read whole.
pub struct Database {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
    /// A record that cannot be read was told of, once.
    told: AtomicBool,
}

impl Database {
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let wrong = |why: &dyn fmt::Display| FileError(format!("{}: {why}", path.display()));
        let file = File::open(path).map_err(|e| wrong(&e))?;
        let mut bytes = Vec::new();
        file.take(limits::ADDRESS_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| wrong(&e))?;
        if bytes.len() as u64 > limits::ADDRESS_FILE_BYTES {
            return Err(wrong(&"larger than 512 MiB"));
        }
        let reader = Reader::from_source(bytes).map_err(|e| wrong(&format!("no MMDB file: {e}")))?;
        Ok(Self { path: path.to_owned(), reader, told: AtomicBool::new(false) })
    }

    fn record(&self, ip: IpAddr) -> Result<Option<Value>, FileError> {
        if ip.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        let found = self.reader.lookup(ip).and_then(|found| found.decode::<Value>());
        found.map_err(|e| FileError(format!("{}: {e}", self.path.display())))
    }

    /// Days since the file was built.
    pub fn age_days(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        now.saturating_sub(self.reader.metadata().build_epoch) / 86_400
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

/// All files that are configured; none of them where one is missing.
#[derive(Debug, Default)]
pub struct Files(Vec<Database>);

impl Files {
    /// # Errors
    /// The first file that cannot be read.
    pub fn read(paths: &[PathBuf]) -> Result<Self, FileError> {
        paths.iter().map(|path| Database::read(path)).collect::<Result<_, _>>().map(Self)
    }

    pub fn databases(&self) -> &[Database] {
        &self.0
    }

    /// What the files say together: a country they agree on, the kind that hides most.
    pub fn look(&self, ip: IpAddr) -> Seen {
        let mut seen = Seen::default();
        let (mut agreed, mut differ): (Option<Country>, bool) = (None, false);
        for database in &self.0 {
            let record = match database.record(ip) {
                Ok(None) => continue,
                Ok(Some(record)) => record,
                Err(e) => {
                    if !database.told.swap(true, Ordering::Relaxed) {
                        tracing::error!(error = %e, "an address file holds records that cannot be read");
                    }
                    return Seen::default();
                }
            };
            seen.kind = seen.kind.max(kind(&record));
            match (agreed, country(&record)) {
                (Some(one), Some(other)) if one != other => differ = true,
                (None, said) => agreed = said,
                _ => {}
            }
        }
        seen.country = agreed.filter(|_| !differ);
        seen
    }
}

/// `country.iso_code`, or a country's code as text.
fn country(record: &Value) -> Option<Country> {
    let code = record
        .pointer("/country/iso_code")
        .or_else(|| record.get("country_code"))
        .or_else(|| record.get("country"));
    code?.as_str().and_then(Country::of)
}

/// The kind that a record gives evidence of.
fn kind(record: &Value) -> Kind {
    let traits = record.get("traits").unwrap_or(&Value::Null);
    let field = |name: &str| [record, traits].into_iter().find_map(|at| at.get(name));
    let holds = |names: &[&str]| {
        names.iter().any(|name| field(name).is_some_and(|v| *v == json!(true) || *v == json!("true")))
    };
    let words = ["kind", "user_type", "connection_type"]
        .into_iter()
        .filter_map(|name| field(name)?.as_str().map(str::to_ascii_lowercase));
    let said = words.filter_map(|word| WORDS.iter().find(|(w, _)| *w == word).map(|(_, kind)| *kind)).max();
    let flags = [(TOR, Kind::Tor), (VPN, Kind::Vpn), (HOSTING, Kind::Hosting)];
    let flagged = flags.into_iter().find(|(names, _)| holds(names)).map(|(_, kind)| kind);
    flagged.max(said).unwrap_or_default()
}

/// What the files say of addresses, for `dragoman geo check`: a JSON document.
pub fn report(paths: &[PathBuf], addresses: &[String]) -> String {
    let files: Vec<(&PathBuf, Result<Database, FileError>)> =
        paths.iter().map(|path| (path, Database::read(path))).collect();
    let shown: Vec<Value> = files.iter().map(|(path, read)| shown(path, read)).collect();
    let whole: Result<Vec<Database>, FileError> = files.into_iter().map(|(_, read)| read).collect();
    let files = whole.map(Files).unwrap_or_default();
    let addresses: Vec<Value> = addresses.iter().map(|text| looked_up(text, &files)).collect();
    json!({"files": shown, "addresses": addresses, "old_days": OLD_DAYS}).to_string()
}

fn shown(path: &Path, read: &Result<Database, FileError>) -> Value {
    match read {
        Ok(database) => json!({
            "path": path, "type": database.reader.metadata().database_type,
            "built": database.reader.metadata().build_epoch, "age_days": database.age_days(),
            "old": database.age_days() > OLD_DAYS, "error": null,
        }),
        Err(e) => json!({"path": path, "error": e.to_string()}),
    }
}

fn looked_up(text: &str, files: &Files) -> Value {
    let Ok(ip) = text.parse::<IpAddr>() else {
        return json!({"address": text, "error": "no IP address"});
    };
    let ip = ip.to_canonical();
    let seen = files.look(ip);
    let records: Vec<Value> =
        files.0.iter().map(|d| d.record(ip).ok().flatten().unwrap_or(Value::Null)).collect();
    json!({"address": text, "country": seen.country.map(Country::code), "kind": seen.kind.name(),
           "records": records, "error": null})
}
