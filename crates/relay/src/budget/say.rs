//! What a caller reads of limits: the error that names the limit, how much it is, what is left and when it ends, and the
//! fields of each answer. Never a number that may be another tenant's.
use super::account::Held;
use super::message::{Limit, Per, Rate, Unit};
use super::period::instant;
use super::rate::State;
use crate::errors::{self, ApiError};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write as _;

const NS: u64 = 1_000_000_000;

/// A limit with its numbers, as a field shows it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub id: String,
    pub unit: Unit,
    pub most: u64,
    pub window_s: u64,
    pub left: u64,
    pub reset_ms: u64,
}

/// The fields of an answer: `RateLimit-Policy` and `RateLimit` for each, OpenAI's own for the tightest of a unit.
pub fn fields(shown: &[Shown], headers: &mut HeaderMap) {
    if shown.is_empty() {
        return;
    }
    let (mut policy, mut state) = (String::new(), String::new());
    for one in shown {
        let comma = if policy.is_empty() { "" } else { ", " };
        let Shown { id, most, window_s, left, .. } = one;
        let (unit, reset) = (one.unit.name(), one.reset_ms.div_ceil(1000));
        // Writing into a String cannot fail.
        let _ = write!(policy, "{comma}\"{id}\";q={most};w={window_s};qu=\"{unit}\"");
        let _ = write!(state, "{comma}\"{id}\";r={left};t={reset}");
    }
    put(headers, "ratelimit-policy", &policy);
    put(headers, "ratelimit", &state);
    for unit in [Unit::Requests, Unit::Tokens] {
        let tightest = shown.iter().filter(|one| one.unit == unit).min_by_key(|one| one.left);
        let Some(one) = tightest else { continue };
        let unit = unit.name();
        put(headers, &format!("x-ratelimit-limit-{unit}"), &one.most.to_string());
        put(headers, &format!("x-ratelimit-remaining-{unit}"), &one.left.to_string());
        put(headers, &format!("x-ratelimit-reset-{unit}"), &duration(one.reset_ms));
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}

/// `6m0s`, `1s`, `120ms`: a duration as OpenAI writes it.
fn duration(ms: u64) -> String {
    let (s, m, h) = (ms / 1000 % 60, ms / 60_000 % 60, ms / 3_600_000);
    match (h, m, s) {
        (0, 0, 0) => format!("{ms}ms"),
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

impl Per {
    fn zh(self) -> &'static str {
        match self {
            Self::Minute => "每分钟",
            Self::Hour => "每小时",
            Self::Day => "每天",
            Self::Month => "每月",
        }
    }
}

/// An amount in words: money in units of its currency.
fn amount(n: u64, unit: Unit, currency: Option<&str>) -> (String, String) {
    match unit {
        Unit::Requests | Unit::Concurrent => (format!("{n} requests"), format!("{n} 次请求")),
        Unit::Tokens => (format!("{n} tokens"), format!("{n} 个令牌")),
        Unit::Money => {
            let text = format!("{}.{:06} {}", n / 1_000_000, n % 1_000_000, currency.unwrap_or(""));
            (text.clone(), text)
        }
    }
}

/// A limit has not enough left.
pub fn exhausted(limit: &Limit, held: &Held, wall: u64) -> ApiError {
    let mut error = ApiError::from(&errors::BUDGET);
    let (id, resets) = (&limit.limit, instant(held.bucket.ends));
    error.retry_after = Some(held.bucket.ends.saturating_sub(wall).div_ceil(1000).max(1));
    let (left, most) = held.bucket.left();
    if !limit.shown {
        error.message = (
            format!("The limit {id:?} of this server is used up for now. Its window ends at {resets}.")
                .into(),
            format!("本服务器的限额“{id}”暂已用尽，其时间窗口于 {resets} 结束。").into(),
        );
        return error;
    }
    let said = |n| amount(n, limit.unit, limit.currency.as_deref());
    let (most_s, left_s, need_s) = (said(most), said(left), said(held.reserved));
    let advice = if held.reserved > most {
        (
            "That is more than the whole limit: ask for a shorter answer or send less.",
            "这已超过整个限额：请要求更短的回答或减少输入。",
        )
    } else {
        ("Turns that run hold a part of it until they end.", "进行中的轮次在结束前会占用其中一部分。")
    };
    error.message = (
        format!(
            "The limit {id:?} ({} per {}) has {} left, and this turn may need {}. Its window ends at {resets}. {}",
            most_s.0, limit.per.name(), left_s.0, need_s.0, advice.0
        )
        .into(),
        format!(
            "限额“{id}”（{} {}）剩余 {}，本轮最多需要 {}。其时间窗口于 {resets} 结束。{}",
            limit.per.zh(), most_s.1, left_s.1, need_s.1, advice.1
        )
        .into(),
    );
    fields(&[held.shown(wall)], &mut error.fields);
    error
}

/// A caller asks faster than its rate.
pub fn too_fast(rate: &Rate, asked: u64, state: State) -> ApiError {
    let mut error = ApiError::from(&errors::RATE);
    let Rate { rate: id, most, burst, .. } = rate;
    let unit = rate.unit;
    let (most_s, burst_s, asked_s) =
        (amount(*most, unit, None), amount(*burst, unit, None), amount(asked, unit, None));
    let wait = state.wait_ns.map(|ns| ns.div_ceil(NS).max(1));
    error.retry_after = Some(wait.unwrap_or(60));
    error.message = match wait {
        Some(wait) => (
            format!("The rate {id:?} is {} per minute, {} at once. Try again in {wait} s.", most_s.0, burst_s.0).into(),
            format!("速率“{id}”为每分钟 {}，一次最多 {}。请在 {wait} 秒后重试。", most_s.1, burst_s.1).into(),
        ),
        None => (
            format!(
                "The rate {id:?} lets {} through at once, and this turn may need {}: ask for a shorter answer or send less.",
                burst_s.0, asked_s.0
            )
            .into(),
            format!("速率“{id}”一次最多允许 {}，而本轮最多需要 {}：请要求更短的回答或减少输入。", burst_s.1, asked_s.1).into(),
        ),
    };
    fields(&[paced(rate, state)], &mut error.fields);
    error
}

/// A rate as a field shows it.
pub fn paced(rate: &Rate, state: State) -> Shown {
    Shown {
        id: rate.rate.clone(),
        unit: rate.unit,
        most: rate.most,
        window_s: 60,
        left: state.left,
        reset_ms: state.reset_ns.div_ceil(1_000_000),
    }
}

/// Too many turns are open.
pub fn crowded(rate: &Rate) -> ApiError {
    let mut error = ApiError::from(&errors::CONCURRENCY);
    let Rate { rate: id, most, .. } = rate;
    error.message = (
        format!("The rate {id:?} lets {most} turns be open at once. Wait until one ends, then try again.")
            .into(),
        format!("速率“{id}”最多允许同时打开 {most} 轮，请等其中一轮结束后重试。").into(),
    );
    error
}

#[cfg(test)]
mod tests;
