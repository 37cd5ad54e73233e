//! What users are told: interventions and their ids, notices, the `dragoman` object. Never the matched text, the
//! rule's words or anything of a list.

use super::spec::{AnswerSpec, InterventionRecord, Origin, Tally};
use super::told::{comma, fields, string, told};
use crate::limits::{INTERVENTION_RULES, INTERVENTIONS};
use crate::rules::{Action, Locale, RuleSet};
use crate::stream::hold::Finding;

#[derive(Default)]
pub(super) struct Disclosure {
    /// Since the last drain.
    fresh: Vec<InterventionRecord>,
    /// All, as the metadata shows them.
    pub shown: Vec<InterventionRecord>,
    tallies: Vec<(u32, Action, u64)>,
}

impl Disclosure {
    pub fn drain(&mut self) -> Vec<InterventionRecord> {
        std::mem::take(&mut self.fresh)
    }

    pub fn tallies(&self, spec: &AnswerSpec) -> Vec<Tally> {
        let name = |(rule, action, n): &(u32, Action, u64)| Tally {
            rule: spec.rules.rule(*rule).id.clone(),
            action: *action,
            n: *n,
        };
        self.tallies.iter().map(name).collect()
    }

    fn tally(&mut self, rule: u32, action: Action) {
        match self.tallies.iter_mut().find(|(r, a, _)| *r == rule && *a == action) {
            Some((_, _, n)) => *n += 1,
            None => self.tallies.push((rule, action, 1)),
        }
    }

    fn add(&mut self, record: InterventionRecord) {
        self.fresh.push(record.clone());
        self.shown.push(record);
    }

    /// Takes the findings of one push; `ours` is what of our own text stands before the model's in the lane.
    pub fn findings(
        &mut self,
        spec: &mut AnswerSpec,
        findings: &mut Vec<Finding>,
        ours: u64,
        pointer: impl Fn() -> String,
    ) {
        for finding in findings.drain(..) {
            self.tally(finding.rule, finding.action);
            if finding.action != Action::Redact {
                continue; // a flag changes nothing, a refusal is told when the choice ends
            }
            if self.shown.len() >= INTERVENTIONS {
                continue; // `rest` tells of it
            }
            let mut record = by_rule(spec, finding.rule, "redact", pointer());
            record.offset = finding.offset + ours;
            record.length = finding.end.saturating_sub(finding.start);
            self.add(record);
        }
    }

    /// A refusal by a rule: the record and the notice that names it.
    pub fn refusal(&mut self, spec: &mut AnswerSpec, rule: u32, lane: String, offset: u64) -> String {
        let mut record = by_rule(spec, rule, "refuse", lane);
        record.offset = offset;
        let url = format!("{}{}", spec.links.reasons, record.id);
        self.add(record);
        refusal_text(&spec.rules, rule, spec.locale, &url)
    }

    /// The provider's own filter ended a choice (or the answer).
    pub fn vendor(&mut self, spec: &mut AnswerSpec, word: String, lane: String, offset: u64) -> String {
        let mut record = plain(spec, Origin::Vendor, "refuse", lane);
        record.vendor = Some(word);
        record.offset = offset;
        record.reason_code = Some("VENDOR_FILTER".to_owned());
        let url = format!("{}{}", spec.links.reasons, record.id);
        self.add(record);
        match spec.locale {
            Locale::En => {
                format!(
                    "The model provider's own filter stopped this answer; it was not a rule of this service. \
                     Details, and how to appeal: {url}"
                )
            }
            Locale::Zh => {
                format!("此回答被模型提供方自身的过滤器停止，并非本服务的规则所致。详情与申诉：{url}")
            }
        }
    }

    /// A change of the service's own state ended a running answer.
    pub fn change(&mut self, spec: &mut AnswerSpec, lane: String, offset: u64) {
        let mut record = plain(spec, Origin::Change, "stop", lane);
        record.offset = offset;
        self.add(record);
    }

    /// The redactions past the limit: one record for each rule, and one for all rules past theirs.
    fn rest(&mut self, spec: &mut AnswerSpec) {
        let told = |rule: &str| {
            let of_rule = |record: &&InterventionRecord| {
                record.action == "redact" && record.rule.as_deref() == Some(rule)
            };
            self.shown.iter().filter(of_rule).map(|record| record.n).sum::<u64>()
        };
        let redacted = self.tallies.iter().filter(|(_, action, _)| *action == Action::Redact);
        let left: Vec<(u32, u64)> = redacted
            .map(|(rule, _, n)| (*rule, n.saturating_sub(told(&spec.rules.rule(*rule).id))))
            .filter(|(_, n)| *n > 0)
            .collect();
        let (named, others) = left.split_at(left.len().min(INTERVENTION_RULES));
        for (rule, n) in named {
            let record = by_rule(spec, *rule, "redact", "/choices".to_owned());
            self.add(InterventionRecord { n: *n, ..record });
        }
        if !others.is_empty() {
            let record = plain(spec, Origin::Rule, "redact", "/choices".to_owned());
            self.add(InterventionRecord { n: others.iter().map(|(_, n)| n).sum(), ..record });
        }
    }

    /// The `dragoman` object, once, at the answer's end.
    pub fn metadata(&mut self, spec: &mut AnswerSpec, outcome: Option<&str>) -> Vec<u8> {
        self.rest(spec);
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"turn\":");
        string(&spec.turn, &mut out);
        out.extend_from_slice(b",\"decision\":");
        string(&spec.decision, &mut out);
        if let Some(outcome) = outcome {
            out.extend_from_slice(b",\"outcome\":");
            string(outcome, &mut out);
        }
        if !spec.about.is_empty() {
            out.push(b',');
            out.extend_from_slice(spec.about.as_bytes());
        }
        labels(spec, &mut out);
        out.extend_from_slice(b",\"notices\":[");
        for (at, notice) in spec.notices.iter().enumerate() {
            comma(at, &mut out);
            fields(&[("id", &notice.id), ("rule_id", &notice.rule_id), ("text", &notice.text)], &mut out);
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"interventions\":[");
        out.extend_from_slice(spec.inward.as_bytes());
        comma(spec.inward.len().min(self.shown.len()), &mut out);
        out.extend_from_slice(told(&spec.rules, &spec.links, &self.shown).as_bytes());
        out.extend_from_slice(b"]}");
        out
    }
}

fn labels(spec: &AnswerSpec, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"labels\":[");
    for (at, label) in spec.labels.iter().enumerate() {
        comma(at, out);
        fields(&[("kind", &label.kind), ("rule_id", &label.rule_id)], out);
        if let Some(text) = &label.visible {
            out.extend_from_slice(b",\"text\":");
            string(text, out);
        }
        if let Some(machine) = &label.machine {
            out.extend_from_slice(b",\"machine\":");
            machine.of_turn(&spec.turn, out);
        }
        out.push(b'}');
    }
    out.push(b']');
    if spec.json_lanes && spec.labels.iter().any(|label| label.visible.is_some()) {
        out.extend_from_slice(b",\"label_channel_gap\":true");
    }
}

/// What the user reads where a rule refused: the rule's message, its id and source, and where details and appeal
/// are. Also for a refused request.
pub fn refusal_text(rules: &RuleSet, rule: u32, locale: Locale, url: &str) -> String {
    let meta = rules.rule(rule);
    let source = meta.source.as_ref().map(|source| source.title.as_str());
    match locale {
        Locale::En => {
            let message =
                meta.message.as_ref().map_or("This was stopped by a content rule.", |text| &text.en);
            let source = source.map(|title| format!(" ({title})")).unwrap_or_default();
            format!("{message} Rule: {}{source}. Details and appeal: {url}", meta.id)
        }
        Locale::Zh => {
            let message = meta.message.as_ref().map_or("内容规则使此处停止。", |text| &text.zh);
            let source = source.map(|title| format!("（{title}）")).unwrap_or_default();
            format!("{message}规则：{}{source}。详情与申诉：{url}", meta.id)
        }
    }
}

/// The text before a choice's first words: labels in brackets, then each notice on a line of its own.
pub(super) fn opening(spec: &AnswerSpec) -> String {
    let mut text = String::new();
    for label in spec.labels.iter().filter_map(|label| label.visible.as_deref()) {
        match spec.locale {
            _ if label.starts_with('【') => text.push_str(label),
            _ if label.starts_with('[') => text.extend([label.trim_end(), " "]),
            Locale::En => text.extend(["[", label, "] "]),
            Locale::Zh => text.extend(["【", label, "】"]),
        }
    }
    if !spec.notices.is_empty() {
        for notice in spec.notices.iter() {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&notice.text);
        }
        text.push_str("\n\n");
    }
    text
}

fn plain(spec: &mut AnswerSpec, origin: Origin, action: &'static str, lane: String) -> InterventionRecord {
    InterventionRecord {
        id: (spec.new_id)(),
        origin,
        rule: None,
        set: None,
        action,
        reason_code: None,
        lane,
        offset: 0,
        length: 0,
        vendor: None,
        n: 1,
    }
}

fn by_rule(spec: &mut AnswerSpec, rule: u32, action: &'static str, lane: String) -> InterventionRecord {
    let mut record = plain(spec, Origin::Rule, action, lane);
    let meta = spec.rules.rule(rule);
    record.rule = Some(meta.id.clone());
    record.set = Some(spec.rules_digest.clone());
    record.reason_code.clone_from(&meta.reason_code);
    record
}
