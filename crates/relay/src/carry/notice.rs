//! Turns that end before a provider is called: a plan that allows no attempt, a request that a rule refused.
//! The notice is an ordinary answer in the caller's shape, sent only after the result entry is durable.
use super::asked::{self, Asked, Inward};
use super::open::{End, Open};
use crate::clock::wall_ms;
use crate::errors::{self, ApiError};
use bytes::Bytes;
use dragoman_engine::answer::{NoticeSpec, Summary, notice_answer, refusal_text};
use serde_json::json;

/// What a notice says, and of which outcome.
struct Said {
    outcome: String,
    reasons: String,
    /// What would change it: members of the `dragoman` object, or nothing.
    lifts: String,
    interventions: String,
    text: String,
}

/// A notice and the index of the result entry that names it.
pub type Told = (Bytes, u64);

/// The plan, or what the conversation adds to it, allows no attempt: its notice.
pub async fn denied(open: &mut Open, asked: &Asked) -> Result<Told, ApiError> {
    let stored = open.stored.as_ref().and_then(|stored| stored.refusal.as_ref());
    let refusal = stored.or(open.turn.plan.plan.refusal.as_ref()).ok_or(&errors::INTERNAL)?;
    let said = Said {
        outcome: refusal.outcome.clone(),
        reasons: json!(refusal.reasons).to_string(),
        lifts: format!("\"lifts\":{},\"step_up\":{}", json!(refusal.lifts), json!(refusal.step_up)),
        interventions: "[]".to_owned(),
        text: refusal.text.get(open.turn.lang).to_owned(),
    };
    told(open, asked, said, &End::DENIED).await
}

/// A rule refused the request; its interventions are stored already.
pub async fn refused(open: &mut Open, asked: &Asked, inward: &Inward) -> Result<Told, ApiError> {
    let rule = inward.refused.ok_or(&errors::INTERNAL)?;
    let links = asked::links(&open.turn.plan.config);
    let url = inward.made.last().map(|made| format!("{}{}", links.reasons, made.id)).unwrap_or_default();
    let said = Said {
        outcome: "REFUSED".to_owned(),
        reasons: "[]".to_owned(),
        lifts: String::new(),
        interventions: format!("[{}]", open.inward),
        text: refusal_text(&open.turn.plan.rules_in, rule, asked::locale(open.turn.lang), &url),
    };
    told(open, asked, said, &End::REFUSED).await
}

async fn told(open: &mut Open, asked: &Asked, said: Said, end: &End<'_>) -> Result<Told, ApiError> {
    let summary = Summary {
        finish: vec!["content_filter".to_owned(); asked.choices() as usize],
        output: said.text.clone(),
        ..Summary::default()
    };
    let spec = NoticeSpec {
        route: asked::engine_route(open.turn.route),
        stream: open.turn.stream,
        include_usage: asked.include_usage(),
        asked_model: open.turn.model.clone(),
        n: asked.choices(),
        turn: open.turn.id.clone(),
        decision: open.decision().to_owned(),
        outcome: said.outcome,
        reasons: said.reasons,
        interventions: said.interventions,
        text: said.text,
        created: wall_ms() / 1000,
        about: [open.about(), said.lifts]
            .into_iter()
            .filter(|one| !one.is_empty())
            .collect::<Vec<_>>()
            .join(","),
    };
    let notice = notice_answer(&spec);
    let index = open.record_result(&summary, end).await?;
    Ok((Bytes::from(notice), index))
}
