//! Step 4 and what the engine is told of a turn: the request's fields against the tables of the providers,
//! its strings against the rules, and the values with which an answer is scanned.
use super::open::{Open, Turn};
use crate::accept::routes;
use crate::clock::{self, wall_ms};
use crate::config::{self, Config, Provider};
use crate::errors::{self, ApiError};
use crate::limits;
use crate::plan::Ready;
use crate::record::Finding;
use crate::wire::Lang;
use bytes::Bytes;
use dragoman_engine::answer::{self, AnswerScan, AnswerSpec, InterventionRecord, Links, VendorBlock};
use dragoman_engine::request::{
    BodyLimits, FieldError, FieldTable, InFinding, MostOutput, Refused, Request, Route, Unknown,
};
use dragoman_engine::rules::{Action, Locale, RuleSet};
use dragoman_engine::stream::json::Limits;

/// A request that passed the checks which need no plan.
pub struct Asked {
    request: Request,
    /// The new message as it came, once `request` has the conversation's history.
    first: Option<Request>,
    /// It uses a field that only some provider takes: checked again once the plan names the provider.
    special: bool,
}

/// The engine's name of a route.
pub fn engine_route(route: routes::Turn) -> Route {
    match route {
        routes::Turn::Chat | routes::Turn::Conversation => Route::Chat,
        routes::Turn::Completions => Route::Completions,
    }
}

fn field_error(e: FieldError) -> ApiError {
    let large = e.code == "body_too_large";
    let mut error = ApiError::from(if large { &errors::BODY_TOO_LARGE } else { &errors::BAD_BODY });
    error.code = e.code.into();
    error.param = e.param;
    error.message = (e.message.en.into(), e.message.zh.into());
    error
}

/// What all of `providers` take beside the route's own fields.
fn common<'a>(mut providers: impl Iterator<Item = &'a Provider>) -> FieldTable {
    let table =
        |p: &Provider| FieldTable { extra: p.fields.clone(), unknown: unknown(p), ..FieldTable::default() };
    let Some(first) = providers.next() else { return FieldTable::default() };
    providers.fold(table(first), |both, p| {
        let next = table(p);
        match (both.unknown, next.unknown) {
            (Unknown::Pass, _) => next,
            (_, Unknown::Pass) => both,
            _ => FieldTable {
                extra: both.extra.into_iter().filter(|f| next.extra.contains(f)).collect(),
                ..FieldTable::default()
            },
        }
    })
}

fn unknown(provider: &Provider) -> Unknown {
    match provider.unknown_fields {
        config::Unknown::Reject => Unknown::Reject,
        config::Unknown::Pass => Unknown::Pass,
    }
}

/// What any provider takes: enough to find the model name.
fn any(config: &Config) -> FieldTable {
    let pass = config.providers.values().any(|p| p.unknown_fields == config::Unknown::Pass);
    FieldTable {
        extra: config.providers.values().flat_map(|p| p.fields.iter().cloned()).collect(),
        unknown: if pass { Unknown::Pass } else { Unknown::Reject },
        ..FieldTable::default()
    }
}

/// Bounds of a body with a conversation's history: each of its messages came as a body of its own.
fn history() -> BodyLimits {
    let usual = BodyLimits::default();
    BodyLimits {
        bytes: limits::CONTROL_BODY_BYTES,
        json: Limits { keys: usual.json.keys * limits::HISTORY_TIMES, ..usual.json },
        strings: usual.strings * limits::HISTORY_TIMES as usize,
    }
}

/// A body, and whether it uses a field that only some provider takes.
fn read(
    route: routes::Turn,
    body: &[u8],
    (stored, limits): (bool, BodyLimits),
    config: &Config,
) -> Result<(Request, bool), ApiError> {
    let read = |table: FieldTable| {
        let table = FieldTable { stored, ..table };
        Request::parse(engine_route(route), body.to_vec(), &table, limits)
    };
    match read(FieldTable::default()) {
        Ok(request) => Ok((request, false)),
        Err(e) if e.code == "unknown_field" => Ok((read(any(config)).map_err(field_error)?, true)),
        Err(e) => Err(field_error(e)),
    }
}

impl Asked {
    pub fn parse(route: routes::Turn, body: &Bytes, config: &Config) -> Result<Self, ApiError> {
        let (request, special) = read(route, body, (route.is_stored(), BodyLimits::default()), config)?;
        Ok(Self { request, first: None, special })
    }

    /// Takes the body with the history in place of the new message: all of it goes to the provider.
    pub fn adopt(&mut self, body: &[u8], plan: &Ready) -> Result<(), ApiError> {
        let (request, special) = read(routes::Turn::Chat, body, (false, history()), &plan.config)?;
        let same = request.model() == self.model()
            && request.stream() == self.stream()
            && request.choices() == self.choices()
            && request.include_usage() == self.include_usage();
        if !same {
            tracing::error!("the conversation's body is not of the turn that was asked");
            return Err((&errors::PLAN_NOT_UNDERSTOOD).into());
        }
        self.first = Some(std::mem::replace(&mut self.request, request));
        self.special = special;
        self.check(plan)
    }

    /// The turn it follows, as the wire names it.
    pub fn parent(&self) -> &str {
        let first = self.first.as_ref().unwrap_or(&self.request);
        first.parent().filter(|parent| !parent.is_empty()).unwrap_or("last")
    }

    /// The body after scan in, as it is stored: the caller's own model name, no `parent`.
    pub fn input(&self) -> String {
        let body = self.request.upstream_body(self.request.model(), false);
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Whether every provider of the plan takes the request's fields.
    pub fn check(&self, plan: &Ready) -> Result<(), ApiError> {
        if !self.special || plan.plan.attempts.is_empty() {
            return Ok(());
        }
        let providers = plan.plan.attempts.iter().filter_map(|a| plan.config.providers.get(&a.provider));
        let stored = self.request.parent().is_some();
        let table = FieldTable { stored, ..common(providers.map(|p| &**p)) };
        let body = self.request.body().as_bytes().to_vec();
        let limits = if self.first.is_some() { history() } else { BodyLimits::default() };
        Request::parse(self.request.route(), body, &table, limits).map(drop).map_err(field_error)
    }

    pub fn model(&self) -> &str {
        self.request.model()
    }

    pub fn stream(&self) -> bool {
        self.request.stream()
    }

    pub fn include_usage(&self) -> bool {
        self.request.include_usage()
    }

    pub fn choices(&self) -> u32 {
        self.request.choices()
    }

    /// The body as it came: what the ledger commits to.
    pub fn body(&self) -> &[u8] {
        self.first.as_ref().unwrap_or(&self.request).body().as_bytes()
    }

    /// The user's language: as the client says, else as the question is written.
    pub fn lang(&self, said: Option<Lang>) -> Lang {
        said.or_else(|| self.request.locale().map(lang_of)).unwrap_or_default()
    }

    /// Step 4: every string that goes to the provider. Gives what was done; the rule that refused is the last.
    pub fn scan_in(&mut self, open: &mut Open) -> Result<Inward, ApiError> {
        let rules = &open.turn.plan.rules_in;
        // The second scan reads the new message again: what it flags is not counted twice.
        open.findings.retain(|found| found.action != action_name(Action::Flag));
        // A new message of a conversation is kept in it; a history that is refused stands there already.
        let kept = open.turn.route.is_stored() && self.first.is_none();
        let refused = if kept { Refused::Kept } else { Refused::Dropped };
        let scan = self.request.scan_in(rules, locale(open.turn.lang), refused).map_err(field_error)?;
        let mut further: Vec<(u32, u64)> = Vec::new();
        let mut inward = Inward { refused: scan.refused, made: Vec::new() };
        for found in &scan.findings {
            let meta = rules.rule(found.rule);
            let action = action_name(found.action);
            count(&mut open.findings, &meta.id, action);
            if found.action == Action::Redact && inward.made.len() < limits::INWARD_DISCLOSED {
                inward.made.push(intervention(&open.turn, rules, found, "redact"));
            } else if found.action == Action::Redact {
                match further.iter_mut().find(|(rule, _)| *rule == found.rule) {
                    Some((_, n)) => *n += 1,
                    None => further.push((found.rule, 1)),
                }
            }
        }
        inward.made.extend(together(&open.turn, rules, &further));
        if let Some(rule) = scan.refused {
            let last = scan.findings.iter().rev().find(|f| f.rule == rule).cloned();
            let found = last.unwrap_or_else(|| placeless(rule, Action::Refuse));
            inward.made.push(intervention(&open.turn, rules, &found, "refuse"));
        }
        Ok(inward)
    }

    /// The upstream body for a provider's model name, usage asked for.
    pub fn upstream(&self, model: &str, most: Option<MostOutput<'_>>) -> Vec<u8> {
        self.request.bounded_body(model, true, most)
    }

    /// What goes to the provider.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// A scan of one attempt's answer.
    pub fn scan_out(&self, open: &Open, provider: &Provider) -> AnswerScan {
        let block = |b: &config::Block| VendorBlock { pointer: b.pointer.clone(), equals: b.equals.clone() };
        let blocks = provider.blocks.iter().map(block).collect();
        AnswerScan::new(AnswerSpec { blocks, ..self.spec(open) })
    }

    /// A scan of an answer that no provider gives.
    pub fn scan_own(&self, open: &Open) -> AnswerScan {
        AnswerScan::new(self.spec(open))
    }

    /// A scan of the answer record of the turn `first`.
    pub fn scan_again(&self, open: &Open, first: &str) -> AnswerScan {
        let mut spec = self.spec(open);
        if !spec.about.is_empty() {
            spec.about.push(',');
        }
        if open.turn.conversation.is_some() {
            first.clone_into(&mut spec.turn);
        }
        spec.about.push_str("\"replays\":");
        spec.about.push_str(&serde_json::Value::from(first).to_string());
        AnswerScan::new(spec)
    }

    fn spec(&self, open: &Open) -> AnswerSpec {
        let turn = &open.turn;
        let plan = &turn.plan.plan;
        let zone = turn.plan.config.zone.clone();
        AnswerSpec {
            route: self.request.route(),
            stream: self.request.stream(),
            include_usage: self.request.include_usage(),
            asked_model: self.request.model().to_owned(),
            n: self.request.choices(),
            locale: locale(turn.lang),
            rules: turn.plan.rules_out.clone(),
            rules_digest: plan.rules_out.clone().unwrap_or_default(),
            labels: turn.plan.said(turn.lang).labels.clone(),
            notices: open.notices(),
            json_lanes: self.request.is_json(),
            blocks: Vec::new(),
            turn: turn.id.clone(),
            decision: open.decision().to_owned(),
            links: links(&turn.plan.config),
            inward: open.inward.clone(),
            created: wall_ms() / 1000,
            new_id: Box::new(move || clock::new_id("int", &zone)),
            keep: open.stored.is_some(),
            about: open.about(),
        }
    }
}

/// What scanning in did.
pub struct Inward {
    pub refused: Option<u32>,
    /// To be stored before their ids are shown.
    pub made: Vec<InterventionRecord>,
}

/// Where an intervention is read, and where one appeals.
pub fn links(config: &Config) -> Links {
    let base = config.public_url.trim_end_matches('/');
    Links { reasons: format!("{base}/v1/interventions/"), appeal: format!("{base}/appeal/") }
}

pub fn locale(lang: Lang) -> Locale {
    match lang {
        Lang::En => Locale::En,
        Lang::Zh => Locale::Zh,
    }
}

fn lang_of(locale: Locale) -> Lang {
    match locale {
        Locale::En => Lang::En,
        Locale::Zh => Lang::Zh,
    }
}

/// An action as entries and interventions name it.
pub fn action_name(action: Action) -> &'static str {
    match action {
        Action::Redact => "redact",
        Action::Refuse => "refuse",
        Action::Flag => "flag",
        Action::Allow => "allow",
    }
}

fn count(findings: &mut Vec<Finding>, rule: &str, action: &'static str) {
    match findings.iter_mut().find(|f| f.rule == rule && f.action == action) {
        Some(found) => found.n += 1,
        None => findings.push(Finding { action, n: 1, rule: rule.to_owned() }),
    }
}

fn intervention(turn: &Turn, rules: &RuleSet, found: &InFinding, action: &'static str) -> InterventionRecord {
    let meta = rules.rule(found.rule);
    InterventionRecord {
        id: clock::new_id("int", &turn.plan.config.zone),
        origin: answer::Origin::Rule,
        rule: Some(meta.id.clone()),
        set: turn.plan.plan.rules_in.clone(),
        action,
        reason_code: meta.reason_code.clone(),
        lane: found.lane.clone(),
        offset: found.offset,
        length: found.length,
        vendor: None,
        n: 1,
    }
}

/// A finding of the whole request.
fn placeless(rule: u32, action: Action) -> InFinding {
    InFinding { rule, action, lane: String::new(), offset: 0, length: 0 }
}

/// The redactions past the limit: one intervention for each rule, and one for all rules past theirs.
fn together(turn: &Turn, rules: &RuleSet, further: &[(u32, u64)]) -> Vec<InterventionRecord> {
    let (named, others) = further.split_at(further.len().min(limits::INWARD_RULES));
    let made = |(rule, n): &(u32, u64)| InterventionRecord {
        n: *n,
        ..intervention(turn, rules, &placeless(*rule, Action::Redact), "redact")
    };
    let mut all: Vec<InterventionRecord> = named.iter().map(made).collect();
    if let Some(first) = others.first() {
        let n = others.iter().map(|(_, n)| n).sum();
        all.push(InterventionRecord { rule: None, set: None, reason_code: None, n, ..made(first) });
    }
    all
}
