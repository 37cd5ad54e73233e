//! How the relay's log reads: the same lines as control's, JSON (`at` in ms UTC, `level`, `event`, then the fields)
//! or text. One line an event, ASCII alone, each value bounded; a field that is not listed here, and what other
//! crates say, is left out: either could hold what a person wrote.
use crate::clock::wall_ms;
use serde_json::Value;
use std::fmt::{self, Debug};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// LIMIT: characters of one logged value, as in control.
const VALUE_CHARS: usize = 2048;

/// The fields that a line may have: ids, codes, numbers, and reasons in our own words.
const FIELDS: &[&str] = &[
    "admin", "attempt", "bytes", "code", "days", "digest", "error", "file", "files", "first", "from",
    "index", "limit", "listen", "log", "must", "next", "plan", "provider", "said", "threads", "turn",
    "waiters", "what", "why",
];
/// How targets of our own begin.
const OWN: &str = "dragoman";

/// The format of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lines {
    /// One JSON object a line.
    #[default]
    Json,
    /// Time, level, event and `name="value"`, for people.
    Text,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if !event.metadata().target().starts_with(OWN) {
            return Ok(());
        }
        let mut said = Said::default();
        event.record(&mut said);
        let level = event.metadata().level().as_str();
        match self {
            Self::Json => {
                let level = level.to_ascii_lowercase();
                write!(writer, "{{\"at\":{},\"level\":\"{level}\",\"event\":", wall_ms())?;
                ascii(&mut writer, &Value::from(said.message))?;
                for (name, value) in &said.fields {
                    write!(writer, ",\"{name}\":")?;
                    ascii(&mut writer, value)?;
                }
                writer.write_str("}\n")
            }
            Self::Text => {
                SystemTime.format_time(&mut writer)?;
                write!(writer, " {level} ")?;
                ascii(&mut writer, &Value::from(said.message))?;
                for (name, value) in &said.fields {
                    write!(writer, " {name}=")?;
                    ascii(&mut writer, value)?;
                }
                writer.write_char('\n')
            }
        }
    }
}

/// What one call said.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Said {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) if FIELDS.contains(&name) => self.fields.push((name, value)),
            _ => {}
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text: String = format!("{value:?}").chars().take(VALUE_CHARS).collect();
        self.put(field, Value::from(text));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text: String = value.chars().take(VALUE_CHARS).collect();
        self.put(field, Value::from(text));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }
}

/// A value as JSON without a character beyond ASCII: nothing in a log can turn a terminal's text around.
fn ascii(writer: &mut Writer<'_>, value: &Value) -> fmt::Result {
    for c in value.to_string().chars() {
        if c.is_ascii() && c != '\x7f' {
            writer.write_char(c)?;
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(writer, "\\u{unit:04x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
