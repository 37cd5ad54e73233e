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
use dragoman_engine::answer::{self, AnswerScan, AnswerSpec, InterventionRecord, VendorBlock};
use dragoman_engine::request::{BodyLimits, FieldError, FieldTable, InFinding, Request, Route, Unknown};
use dragoman_engine::rules::{Action, Locale, RuleSet};

/// A request that passed the checks which need no plan.
pub struct Asked {
    request: Request,
    /// It uses a field that only some provider takes: checked again once the plan names the provider.
    special: bool,
}

/// The engine's name of a route.
pub fn engine_route(route: routes::Turn) -> Route {
    match route {
        routes::Turn::Chat => Route::Chat,
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

impl Asked {
    pub fn parse(route: routes::Turn, body: &Bytes, config: &Config) -> Result<Self, ApiError> {
        let read = |table: &FieldTable| {
            Request::parse(engine_route(route), body.to_vec(), table, BodyLimits::default())
        };
        let (request, special) = match read(&FieldTable::default()) {
            Ok(request) => (request, false),
            Err(e) if e.code == "unknown_field" => (read(&any(config)).map_err(field_error)?, true),
            Err(e) => return Err(field_error(e)),
        };
        Ok(Self { request, special })
    }

    /// Whether every provider of the plan takes the request's fields.
    pub fn check(&self, plan: &Ready) -> Result<(), ApiError> {
        if !self.special || plan.plan.attempts.is_empty() {
            return Ok(());
        }
        let providers = plan.plan.attempts.iter().filter_map(|a| plan.config.providers.get(&a.provider));
        let table = common(providers.map(|p| &**p));
        let body = self.request.body().as_bytes().to_vec();
        Request::parse(self.request.route(), body, &table, BodyLimits::default())
            .map(drop)
            .map_err(field_error)
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
        self.request.body().as_bytes()
    }

    /// The user's language: as the client says, else as the question is written.
    pub fn lang(&self, said: Option<Lang>) -> Lang {
        said.or_else(|| self.request.locale().map(lang_of)).unwrap_or_default()
    }

    /// Step 4: every string that goes to the provider. Gives what was done; the rule that refused is the last.
    pub fn scan_in(&mut self, open: &mut Open) -> Result<Inward, ApiError> {
        let rules = &open.turn.plan.rules_in;
        let scan = self.request.scan_in(rules, locale(open.turn.lang)).map_err(field_error)?;
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
    pub fn upstream(&self, model: &str) -> Vec<u8> {
        self.request.upstream_body(model, true)
    }

    /// A scan of one attempt's answer.
    pub fn scan_out(&self, turn: &Turn, provider: &Provider) -> AnswerScan {
        let plan = &turn.plan.plan;
        let said = turn.plan.said(turn.lang);
        let zone = turn.plan.config.zone.clone();
        AnswerScan::new(AnswerSpec {
            route: self.request.route(),
            stream: self.request.stream(),
            include_usage: self.request.include_usage(),
            asked_model: self.request.model().to_owned(),
            n: self.request.choices(),
            locale: locale(turn.lang),
            rules: turn.plan.rules_out.clone(),
            rules_digest: plan.rules_out.clone().unwrap_or_default(),
            labels: said.labels.clone(),
            notices: said.notices.clone(),
            json_lanes: self.request.is_json(),
            blocks: provider
                .blocks
                .iter()
                .map(|b| VendorBlock { pointer: b.pointer.clone(), equals: b.equals.clone() })
                .collect(),
            turn: turn.id.clone(),
            decision: turn.plan.decision.clone(),
            intervention_base: intervention_base(&turn.plan.config),
            created: wall_ms() / 1000,
            new_id: Box::new(move || clock::new_id("int", &zone)),
        })
    }
}

/// What scanning in did.
pub struct Inward {
    pub refused: Option<u32>,
    /// To be stored before their ids are shown.
    pub made: Vec<InterventionRecord>,
}

/// Where an intervention is read.
pub fn intervention_base(config: &Config) -> String {
    format!("{}/v1/interventions/", config.public_url.trim_end_matches('/'))
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
