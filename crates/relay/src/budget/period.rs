//! Windows of time of limits, in UTC: the one that an instant is in, and its name. Control makes the same names
//! (`src/dragoman/budgets/periods.py`).
use super::message::Per;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// First instant of a window and the first one after it, ms UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub starts: u64,
    pub ends: u64,
}

impl Per {
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The window that holds `now`.
    pub fn window(self, now: u64) -> Window {
        let length = match self {
            Self::Minute => MINUTE_MS,
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
            Self::Month => return month(now),
        };
        let starts = now / length * length;
        Window { starts, ends: starts + length }
    }

    /// The name of the window that starts at `starts`.
    pub fn label(self, starts: u64) -> String {
        let (year, month, day) = civil(starts / DAY_MS);
        let (hour, minute) = (starts % DAY_MS / HOUR_MS, starts % HOUR_MS / MINUTE_MS);
        match self {
            Self::Minute => format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}"),
            Self::Hour => format!("{year:04}{month:02}{day:02}T{hour:02}"),
            Self::Day => format!("{year:04}{month:02}{day:02}"),
            Self::Month => format!("{year:04}{month:02}"),
        }
    }
}

/// `2026-11-27T00:00:00Z`.
pub fn instant(at: u64) -> String {
    let (year, month, day) = civil(at / DAY_MS);
    let second = at / 1000;
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn month(now: u64) -> Window {
    let today = now / DAY_MS;
    let (year, month, day) = civil(today);
    let first = today - (day - 1);
    Window { starts: first * DAY_MS, ends: (first + days_of(year, month)) * DAY_MS }
}

fn days_of(year: u64, month: u64) -> u64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a count of days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
