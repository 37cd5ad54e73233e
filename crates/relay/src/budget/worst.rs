//! What a turn costs at the worst, and what it cost: tokens and money of each attempt, rounded up. Pure.
use super::message::{Cost, Price, Unit};
use crate::wire::Attempt;
use dragoman_engine::answer::Usage;
use dragoman_engine::request::{MostOutput, Request, Route};

/// Prices are for so many tokens.
const PRICED_TOKENS: u128 = 1_000_000;

/// Tokens of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    /// Of the input.
    pub cached: u64,
    pub output: u64,
}

impl Tokens {
    pub fn sum(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// What the provider stated of a whole answer.
    pub fn of(usage: &Usage) -> Option<Self> {
        let told = usage.known && usage.complete;
        told.then_some(Self { input: usage.input, cached: usage.cached, output: usage.output })
    }
}

impl Price {
    /// What the tokens cost, in millionths of the currency's unit.
    pub fn of(&self, tokens: Tokens) -> u64 {
        let fresh = tokens.input.saturating_sub(tokens.cached);
        let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let sum = part(fresh, self.input)
            .saturating_add(part(tokens.cached.min(tokens.input), self.cached))
            .saturating_add(part(tokens.output, self.output));
        u64::try_from(sum.div_ceil(PRICED_TOKENS)).unwrap_or(u64::MAX)
    }

    /// The same where it is not known what was cached: the dearer of both.
    pub fn at_worst(&self, tokens: Tokens) -> u64 {
        let dear = Self { input: self.input.max(self.cached), ..self.clone() };
        dear.of(Tokens { cached: 0, ..tokens })
    }
}

/// How far an attempt got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Called {
    /// Nothing went to the provider, or it said that it did not do it.
    #[default]
    No,
    /// The request went out; what it used is not known.
    Sent,
    /// The provider stated what it used.
    Stated(Tokens),
}

/// One attempt that the plan allows.
#[derive(Clone, Debug)]
pub struct Call {
    /// The most it can use; none where nothing bounds it.
    pub worst: Option<Tokens>,
    pub price: Option<Price>,
    pub called: Called,
}

/// What is reserved of a bucket, or why that cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbounded {
    /// The model's answers have no bound.
    Output,
    /// More than text goes in, and the model's context is not known.
    Input,
    /// What the model costs is not known, or in another currency.
    Price,
    /// The request asks for what has a price of its own.
    Dearer,
}

impl Call {
    /// An attempt at `request`. `most` is the plan's own bound of an answer.
    pub fn of(attempt: &Attempt, request: &Request, most: Option<u64>) -> Self {
        let output = output_bound(attempt, request, most);
        let worst = input_bound(attempt, request).zip(output).map(|(input, output)| Tokens {
            input,
            cached: 0,
            output: output.saturating_mul(request.written()),
        });
        // A price is the ordinary one: what it is for anything else nobody stated.
        let stated = |price: &&Price| price.currency.is_none() || request.dearer().is_none();
        Self { worst, price: attempt.price.as_ref().filter(stated).cloned(), called: Called::No }
    }

    /// The most it can use of a unit.
    fn worst_of(&self, unit: Unit, currency: Option<&str>) -> Option<u64> {
        match unit {
            Unit::Requests | Unit::Concurrent => Some(0),
            Unit::Tokens => self.worst.map(Tokens::sum),
            Unit::Money => {
                let price = self.price.as_ref()?;
                let fits = price.currency.is_none() || price.currency.as_deref() == currency;
                fits.then_some(price.at_worst(self.worst?))
            }
        }
    }

    /// What it used of a unit.
    fn used_of(&self, unit: Unit, currency: Option<&str>) -> u64 {
        match (self.called, unit) {
            (Called::No, _) | (_, Unit::Requests | Unit::Concurrent) => 0,
            (Called::Sent, _) => self.worst_of(unit, currency).unwrap_or(0),
            (Called::Stated(tokens), Unit::Tokens) => tokens.sum(),
            (Called::Stated(tokens), Unit::Money) => self.price.as_ref().map_or(0, |price| price.of(tokens)),
        }
    }
}

/// The most tokens of one choice: the least of what the caller asks for, the model's bound and the plan's.
pub fn output_bound(attempt: &Attempt, request: &Request, most: Option<u64>) -> Option<u64> {
    [request.output_asked(), attempt.max_output_tokens, most].into_iter().flatten().min()
}

/// The most tokens of an answer that the provider is asked for, where the operator bounds it.
pub fn most_output<'a>(attempt: &'a Attempt, request: &Request, most: Option<u64>) -> Option<MostOutput<'a>> {
    let tokens = [attempt.max_output_tokens, most].into_iter().flatten().min()?;
    let field = if request.route() == Route::Completions { "max_tokens" } else { &attempt.output_field };
    Some(MostOutput { field, tokens })
}

fn input_bound(attempt: &Attempt, request: &Request) -> Option<u64> {
    match attempt.max_input_tokens {
        Some(context) if request.has_media() => Some(context),
        None if request.has_media() => None,
        context => Some(request.input_bound().min(context.unwrap_or(u64::MAX))),
    }
}

/// What a turn reserves of a bucket: one request, or what all its attempts together use at the worst.
pub fn reserve(calls: &[Call], unit: Unit, currency: Option<&str>) -> Result<u64, Unbounded> {
    if matches!(unit, Unit::Requests | Unit::Concurrent) {
        return Ok(1);
    }
    calls.iter().try_fold(0u64, |sum, call| {
        let worst = call.worst_of(unit, currency).ok_or(Unbounded::Price)?;
        Ok(sum.saturating_add(worst))
    })
}

/// What a turn spent of a bucket.
pub fn spent(calls: &[Call], unit: Unit, currency: Option<&str>) -> u64 {
    if matches!(unit, Unit::Requests | Unit::Concurrent) {
        return 1;
    }
    calls.iter().fold(0, |sum, call| sum.saturating_add(call.used_of(unit, currency)))
}

/// What a turn cost; nothing where one of its calls has no price, or they have several currencies.
pub fn cost(calls: &[Call], at_worst: bool) -> Option<Cost> {
    let mut sum = Cost { amount: 0, currency: String::new() };
    for call in calls.iter().filter(|call| at_worst || call.called != Called::No) {
        let price = call.price.as_ref()?;
        let currency = price.currency.as_deref().unwrap_or("");
        if !currency.is_empty() && !sum.currency.is_empty() && sum.currency != currency {
            return None;
        }
        if sum.currency.is_empty() {
            currency.clone_into(&mut sum.currency);
        }
        let used = match call.called {
            Called::Stated(tokens) if !at_worst => price.of(tokens),
            _ => price.at_worst(call.worst?),
        };
        sum.amount = sum.amount.saturating_add(used);
    }
    Some(sum)
}

/// Why a unit cannot be bounded for these calls.
pub fn why_unbounded(
    calls: &[Call],
    request: &Request,
    attempts: &[Attempt],
    most: Option<u64>,
) -> Unbounded {
    let open = |attempt: &Attempt| output_bound(attempt, request, most).is_none();
    if attempts.iter().any(open) {
        return Unbounded::Output;
    }
    if calls.iter().any(|call| call.worst.is_none()) {
        return Unbounded::Input;
    }
    if request.dearer().is_some() { Unbounded::Dearer } else { Unbounded::Price }
}

#[cfg(test)]
mod tests;
