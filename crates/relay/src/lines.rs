//! How the relay's log reads: the same JSON lines as control's, `at` (ms UTC), `level`, `event`, then the
//! fields. One line an event, ASCII alone, each value bounded. It adds nothing to what a call names.
use crate::clock::wall_ms;
use serde_json::Value;
use std::fmt::{self, Debug};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// LIMIT: characters of one logged value, as in control.
const VALUE_CHARS: usize = 2048;

/// The format of a line.
pub struct Lines;

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
        let mut said = Said::default();
        event.record(&mut said);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        write!(writer, "{{\"at\":{},\"level\":\"{level}\",\"event\":", wall_ms())?;
        ascii(&mut writer, &Value::from(said.message))?;
        for (name, value) in &said.fields {
            write!(writer, ",\"{name}\":")?;
            ascii(&mut writer, value)?;
        }
        writer.write_str("}\n")
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
            (name, value) => self.fields.push((name, value)),
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
